"""A Hugging Face Hub on this machine, and programs that take it for the real one."""
