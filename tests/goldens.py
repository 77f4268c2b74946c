"What axolotl 0.19 prepared from many inputs, kept in the project"
import json
from pathlib import Path

GOLDEN = Path(__file__).parent/'golden'

def golden_cases() -> dict[str, dict]:
    "name -> tokenizer, config, datasets, expected"
    return {k:v for f in sorted(GOLDEN.glob('axolotl_*.json')) for k,v in json.loads(f.read_text()).items()}
