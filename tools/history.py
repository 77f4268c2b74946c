"""Rows like pull requests from a git history: `python tools/history.py REPOSITORY OUT.jsonl [N]`

Each of the newest N commits (2,000; merges and bots left out) becomes masked title, description and diff, and a
trained answer in JSON: the commit's conventional type, or `other`. Nothing is cleaned: `lint` is to see it all."""
import json, re, subprocess, sys
from collections.abc import Iterator
from pathlib import Path

from segmask.core import Segments, masked, trained
from segmask.files import write_jsonl

TYPE = re.compile(r'^(feat|fix|docs|test|refactor|perf|chore|ci|build|style)(?:\([^)]*\))?!?:\s*')
BOT = re.compile(r'\bbot\b|\[bot\]|renovate|dependabot|greenkeeper', re.I)
FIELDS, DIFF = '%x00entry%x01%an%x01%s%x01%b%x01', 1500 # of git log; the most characters of a diff

def log(repository: str) -> str:
    "Author, subject, body and changes of all commits"
    how = ['--no-merges', '-p', '-U0', '--no-color', '--no-ext-diff', f'--format={FIELDS}']
    git = ['git', '-C', repository, 'log', *how]
    return subprocess.run(git, capture_output=True, check=True).stdout.decode('utf-8', 'replace')

def rows(history: str) -> Iterator[Segments]:
    for entry in history.split('\0entry\1')[1:]: # a diff may hold any byte
        author, subject, body, diff = entry.split('\1', 3)
        if BOT.search(author) or not diff.strip(): continue
        kind = m[1] if (m := TYPE.match(subject)) else 'other'
        title, changes = TYPE.sub('', subject), diff.strip()[:DIFF]
        question = f'<s>Title: {title}\nDescription: {body.strip()}\nChanges:\n{changes}\nAnswer:'
        yield masked(question) + trained(' ' + json.dumps({'category': kind}) + '</s>')

if __name__=='__main__':
    repository, out, *most = sys.argv[1:]
    first = list(rows(log(repository)))[:int(most[0]) if most else 2000]
    print(write_jsonl(first, Path(out)), 'rows')
