"The house stays small: what tools/limits.py lists is empty"
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]/'tools'))
import limits
import segmask


def test_lines_are_narrow(): assert limits.wide() == []

def test_cells_are_narrow(): assert limits.wide_cells() == []

def test_exported_cells_are_short(): assert limits.long_cells() == []

def test_modules_are_short(): assert limits.long_modules() == []

def test_imports_go_downwards_and_not_in_circles():
    assert limits.inversions() == []
    assert len(limits.chain(limits.graph())) <= limits.CHAIN

def test_each_chapter_begins_with_an_example(): assert limits.late() == []

def test_numbers_are_in_the_order_of_the_folders():
    wings = [limits.ORDER.index(n.split('.')[0]) for n in limits.notebooks()]
    assert wings == sorted(wings)

def test_public_names_are_few(): assert len(segmask.__all__) <= limits.NAMES
