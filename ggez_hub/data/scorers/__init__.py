"""Reward scorers: how good a pair of picture and text is. None is a default: their agreement with
people is weak, and can be measured (`ggez-hub reward agreement`).
"""
