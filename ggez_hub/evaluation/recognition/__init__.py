"""Text-to-image models under test: does a tower of pictures recognise what they draw?

    task       what is asked: prompts, how pictures are drawn, and who judges
    judge      the candidate that a drawing resembles most, by an image tower
    painter    a pipeline of diffusers that draws
    measuring  every task at every beta; scores, and the control

A judge that is asked questions about a drawing is in `subjects.drawing`.
"""
