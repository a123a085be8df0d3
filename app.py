"""The page: `python app.py`."""

from styletransfer.page.app import main

if __name__ == "__main__":
    main()
