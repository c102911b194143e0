"""Data sets: reading every MovieLens format, downloading, generating, importing."""
