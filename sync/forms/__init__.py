"""What is filled in: the definition of a form, and how far somebody has come with it.

Pure: JSON values in, values out. It knows neither documents nor sessions.
"""
