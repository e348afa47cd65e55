#!/usr/bin/env python3
"""Reads the repository's Markdown as GitHub does, as far as the checks need it: .ci/markdown.py

Checks every page: links and anchors lead somewhere that a fresh clone has, references are defined, code fences are
closed, and a page and its Chinese counterpart have the same headings and the same marked blocks. It asks no other host.
What runs the blocks is walk.py.
"""
import itertools
import pathlib
import re
import subprocess
import sys
import unicodedata
import urllib.parse
from typing import NamedTuple

MARK = re.compile(r"<!-- ci: (.+) -->")
FENCE = re.compile(r"(`{3,}|~{3,})\s*(\S*)")
HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*$")
LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\(\s*<?([^()\s<>]*(?:\([^()]*\)[^()\s<>]*)*)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"\[([^\[\]]+)\]\[([^\[\]]*)\]")
DEFINITION = re.compile(r"(?m)^ {0,3}\[([^\]]+)\]:\s*(\S+)")


class Block(NamedTuple):
    """A fenced block; `mark` is the name in the comment `<!-- ci: NAME -->` in front of it."""
    mark: str | None
    language: str
    text: str
    line: int


class Page:
    def __init__(self, path):
        self.path, self.blocks, self.headings, self.faults = pathlib.Path(path), [], [], []
        prose, fence, mark = [], None, None
        for number, line in enumerate(self.path.read_text(encoding="utf-8").splitlines(), 1):
            bare = line.strip()
            found = FENCE.match(bare)
            prose.append("" if fence or found else line)
            if fence:
                if found and bare == found[1] and bare.startswith(fence):
                    self.blocks.append(Block(mark, language, "".join(x + "\n" for x in inside), begin))
                    fence = mark = None
                else:
                    inside.append(line[indent:] if not line[:indent].strip() else line)
            elif found:
                fence, language, inside = found[1], found[2], []
                begin, indent = number, len(line) - len(line.lstrip())
            else:
                if mark and bare:
                    self.faults.append(f"{number}: the mark `{mark}` has no block behind it")
                    mark = None
                if found := MARK.fullmatch(bare):
                    mark = found[1]
                    continue
                if found := HEADING.match(line):
                    self.headings.append((len(found[1]), found[2]))
        if fence:
            self.faults.append(f"{begin}: this code fence is never closed")
        # Without code, and each character where it was.
        code = re.compile(r"(`+)(?!`)((?:[^\n]|\n(?!\s*\n))+?)(?<!`)\1(?!`)")
        self.prose = code.sub(lambda span: re.sub(r"[^\n]", "`", span[0]), "\n".join(prose))

    def anchors(self):
        """GitHub's: letters, digits, marks, `-` and `_` of whatever script stay, spaces become `-`, the rest goes."""
        anchors = set()
        for _, heading in self.headings:
            text = LINK.sub(r"\1", heading).replace("`", "").replace("*", "").lower()
            slug = "".join(
                "-" if c == " " else c for c in text if c in " -_" or unicodedata.category(c)[0] in "LNM")
            repeats = itertools.chain([slug], (f"{slug}-{again}" for again in itertools.count(1)))
            anchors.add(next(unique for unique in repeats if unique not in anchors))
        anchors.update(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", self.prose))
        return anchors

    def found(self, pattern, part):
        for found in re.finditer(pattern, self.prose):
            yield self.prose.count("\n", 0, found.start()) + 1, found[part]

    def links(self):
        yield from self.found(LINK, 2)
        for text in (found[1] for found in LINK.finditer(self.prose)):
            yield from ((1, inner[2]) for inner in LINK.finditer(text)) # a picture that is a link
        yield from self.found(DEFINITION, 2)
        yield from self.found(r"<(img|a)\s[^>]*(?:src|href)=\"([^\"]+)\"", 2)

    def undefined(self):
        defined = {name.lower() for _, name in self.found(DEFINITION, 1)}
        for found in REFERENCE.finditer(self.prose):
            name = found[2] or found[1]
            if name.lower() not in defined:
                yield self.prose.count("\n", 0, found.start()) + 1, name


def counterparts(paths):
    """Each English page with its Chinese one: README.md and README.zh.md, docs/… and docs/zh/…"""
    for path in paths:
        twin = path.with_suffix(".zh.md")
        if path.parts[0] == "docs":
            twin = pathlib.Path("docs/zh", *path.parts[1:])
        if twin in paths:
            yield path, twin


def main():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], stdout=subprocess.PIPE, check=True)
    files = {pathlib.Path(name) for name in listed.stdout.decode().split("\0") if name and pathlib.Path(name).exists()}
    there = files | {folder for file in files for folder in file.parents}
    pages = {path: Page(path) for path in sorted(files) if path.suffix == ".md"}
    anchors = {path: page.anchors() for path, page in pages.items()}
    faults, links = [], 0
    for path, page in pages.items():
        faults += [f"{path}:{fault}" for fault in page.faults]
        faults += [f"{path}:{number}: the reference [{name}] is not defined" for number, name in page.undefined()]
        for number, link in page.links():
            links += 1
            url = urllib.parse.urlsplit(link)
            if url.scheme:
                if url.scheme not in ("https", "http", "mailto"):
                    faults.append(f"{path}:{number}: {link}: what kind of link is this?")
                continue
            target = path
            if url.path:
                target = pathlib.Path(*normal(path.parent, urllib.parse.unquote(url.path)))
            if target not in there:
                faults.append(f"{path}:{number}: {link}: there is no such file in the repository")
            elif url.fragment and urllib.parse.unquote(url.fragment) not in anchors.get(target, ()):
                faults.append(f"{path}:{number}: {link}: no such heading in {target}")
    for path, twin in counterparts(pages):
        english, chinese = pages[path], pages[twin]
        if [level for level, _ in english.headings] != [level for level, _ in chinese.headings]:
            faults.append(f"{twin}: its headings are not those of {path}, in number and depth")
        marked = [[block[:3] for block in page.blocks if block.mark] for page in (english, chinese)]
        if marked[0] != marked[1]:
            faults.append(f"{twin}: its marked blocks are not those of {path}")
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(pages)} pages, {links} links, {len(faults)} faults")
    return bool(faults) or not links


def normal(folder, link):
    """The parts of a relative link's target; one that leaves the repository keeps its `..` and so is not found."""
    parts = list(folder.parts)
    for part in pathlib.PurePosixPath(link).parts:
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return parts


if __name__ == "__main__":
    sys.exit(main())
