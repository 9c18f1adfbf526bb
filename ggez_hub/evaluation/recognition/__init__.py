"""Text-to-image models under test: does a tower of pictures recognise what they draw?

    task       what is asked: prompts, how pictures are drawn, and who judges
    judge      the candidate that a drawing resembles most, by an image tower
    asking     the drawings of a task that are asked for, and what becomes of them
    measuring  all of it for one adapter over the grid; and the control

A judge that is asked questions about a drawing is in `subjects.judging`.
"""
