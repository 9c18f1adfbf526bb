"""The store over HTTP, in the protocol of the Hugging Face Hub."""
