"""The read model: what a document was, who changed what, and when.

The command line and the HTTP API share it.
"""
