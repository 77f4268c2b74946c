"`python -m segmask` is the command `segmask`"
import sys

from .cli import main

if __name__=='__main__': sys.exit(main())
