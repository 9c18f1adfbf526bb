"""Studies in the formats of other annotation tools, and ratings made there as judgements of a study.

tasks         what is asked, without models: sets under opaque ids, and questions with choices
label_studio  its labelling configuration and JSON
potato        a project of potato, and the answers of its annotators
data_set      a folder for the Hub: ratings, scores, card and Croissant file
"""
