"""The page: `python app.py`."""

from styletransfer.demo import main

if __name__ == "__main__":
    main()
