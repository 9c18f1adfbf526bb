"""Does merging pay where the region is content and every question is in one language?"""
