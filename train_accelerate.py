"""Train styles: `accelerate launch train_accelerate.py --photos FOLDER --style NAME=FOLDER_OR_PICTURE ...`"""

import sys

from styletransfer.training.launch import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
