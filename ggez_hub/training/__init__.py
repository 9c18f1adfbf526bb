"""Fine-tuning a base to an adapter: a recipe in, a PEFT folder or a full fine-tune with its card out.

recipe     what is asked for: the keys that all families share
data       the output of `filter`, or any source with its columns, as rows on disk
learner    what a family is to the loop; its docstring says how a family is added
ways       the families, looked up by name: embedding, vlm, diffusion
lora       which modules get factors, and the adapter that is put on them
order      which examples a step sees: a function of seed and number
loop       the steps, on accelerate; checkpoint: what a killed run goes on from
output     the folder as it is written; card: what it says of itself
plan       what a run will cost
run        all of it
"""
