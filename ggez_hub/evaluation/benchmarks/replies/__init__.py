"""Replies of models that write: which option one chooses, in whatever language it is written.

words      a table of words for each language
lexicon    those words as one expression, and a reply in the form in which it is read
mentions   where a reply names options; labels are their letters, numbers and ordinals
structure  its sentences and clauses, and the options that are joined
choice     the option that it chooses
"""

from ggez_hub.evaluation.benchmarks.replies.chosen_option import read_choice
from ggez_hub.evaluation.benchmarks.replies.lexicon import after_thought, plain

# Recorded with what was read: raise it when a reply may be read as another option than before.
READER = 2

__all__ = ["READER", "after_thought", "plain", "read_choice"]
