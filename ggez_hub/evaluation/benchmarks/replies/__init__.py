"""Replies of models that write: which option one chooses, in whatever language it is written.

words      a table of words for each language
lexicon    those words as one expression, and a reply in the form in which it is read
mentions   where a reply names options; labels are their letters, numbers and ordinals
structure  its sentences and clauses, and the options that are joined
choice     the option that it chooses
tagged     the option after a tag that the prompt asks for
"""

from ggez_hub.evaluation.benchmarks.replies.chosen_option import read_choice
from ggez_hub.evaluation.benchmarks.replies.lexicon import after_thought, plain
from ggez_hub.evaluation.benchmarks.replies.tagged_answer import TaggedAnswer

# Recorded with what was read: raise it when a reply may be read as another option than before.
READER = 2
# In place of it where a reply was read by its task's tag, which predictions do not hold.
BY_TAG = -1

__all__ = ["BY_TAG", "READER", "TaggedAnswer", "after_thought", "plain", "read_choice"]
