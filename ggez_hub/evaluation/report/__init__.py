"""A report: one page with everything that a card or results folder shows, which opens offline.

contents     the figures and curves of the page, recomputed from the predictions
examples     what the base got wrong and the merge got right, and the reverse
page         contents into page.html: inline style, script and pictures, nothing is fetched
"""
