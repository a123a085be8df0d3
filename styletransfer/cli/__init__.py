"""The commands of `python -m styletransfer`."""
