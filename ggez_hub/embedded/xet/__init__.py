"""The Xet protocol: files as lists of chunks, chunks packed in xorbs, lists sent as shards.

https://huggingface.co/docs/xet, version 1.1
"""
