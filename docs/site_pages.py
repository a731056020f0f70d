"""Hooks of mkdocs: pages that are written to be read in the repository, as a site.

The navigation is that of index.md. The pages beside docs/ belong to the site too. What else a page links to, such as a
program, is not in the site, and its link becomes plain text.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, InclusionLevel

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

BESIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
"""Pages beside docs/."""
ENTRY = re.compile(r"^- \[(?P<title>[^]]+)\]\((?P<path>[^)#]+)\)", re.MULTILINE)
LINK = re.compile(r"\[(?P<text>[^][]+)\]\((?![a-z]+:|#)(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
MARKS = re.compile(r"^( *`{3,}[a-z]+)(?: exact| setup)+", re.MULTILINE)
"""What tests are told about a block (CONTRIBUTING.md), and no reader."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the navigation from index.md: a section for each of its headings with links below."""
    _, *sections = Path(config.docs_dir, "index.md").read_text(encoding="utf-8").split("\n## ")
    listed = {section.partition("\n")[0]: ENTRY.findall(section) for section in sections}
    config.nav = [
        {"Documentation": "index.md"},
        {"README": "../README.md"},
        {"Tutorial": "tutorial.md"},
        *({heading: [{title: path} for title, path in entries]} for heading, entries in listed.items() if entries),
        {"Project": [{Path(name).stem.capitalize(): f"../{name}"} for name in BESIDE[1:]]},
    ]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages beside docs/."""
    for name in BESIDE:
        file = File(
            f"../{name}",
            config.docs_dir,
            config.site_dir,
            config.use_directory_urls,
            dest_uri=f"{Path(name).stem.lower()}/index.html",
            inclusion=InclusionLevel.INCLUDED,  # which a name with dots at its beginning is not by itself
        )
        files.append(file)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links and fences of the repository into those of the site."""
    return LINK.sub(partial(_link, page=page, docs=config.docs_dir, files=files), MARKS.sub(r"\1", markdown))


def _link(link: re.Match[str], page: Page, docs: str, files: Files) -> str:
    target = Path(page.file.abs_src_path).parent.joinpath(link["path"]).resolve()
    if not target.exists():
        return link[0]  # mkdocs complains of it
    file = files.get_file_from_path(os.path.relpath(target, docs))
    if file is None or file.inclusion.is_excluded():
        return link["text"]
    # Seen from docs/, because no relative path leads from a page beside docs/ to one in it.
    place = link["path"] if file.src_uri.startswith("../") else f"/{file.src_uri}"
    return f"[{link['text']}]({place}{link['anchor'] or ''})"
