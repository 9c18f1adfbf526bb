"""Fine-tuning a base to an adapter: a recipe in, an adapter or a full fine-tune with its card out.

recipe     what is asked for: the keys that all families share
job        a recipe with its base, and what can be seen to be off before anything is loaded
examples   rows of a key: filtered (of `filter`) or unfiltered (any source with its columns);
           unused: why a row is no example; tables: the rows of a stage
learner    what a family is to the loop; its docstring says how a family is added
ways       the families, looked up by name: embedding (and its towers), vlm (and chat), diffusion
lora       which modules get factors, and the adapter that is put on them
order      which examples a step sees: a function of seed and number
loop       the steps, on accelerate (devices); feeding: their rows as tensors; optimiser: AdamW and
           its rate; checkpoint: what a killed run goes on from; tracking: trackio
output     the folder as it is written; card: what it says of itself; origins: of all its data
stopping   Ctrl-C and SIGTERM
plan       what a run will cost; memory: on the device, without a weight
run        all of it
"""
