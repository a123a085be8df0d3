"""The Hugging Face Hub: its errors, repositories, packs and Spaces."""
