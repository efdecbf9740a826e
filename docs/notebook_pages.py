"""Makes a page of each notebook, with its stored outputs, when the site is built."""

from __future__ import annotations

import re
from typing import Any, Final

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

_SUFFIX: Final = ".ipynb"
#: The template of nbconvert, with outputs in elements that assets/site.css styles, and pictures within the page.
_TEMPLATE: Final = """
{%- extends 'markdown/index.md.j2' -%}
{%- macro text(value) %}
<div class="notebook-output" markdown="1">

````text
{{ value | strip_ansi | trim('\n') }}
````

</div>
{% endmacro -%}
{%- block stream %}{{ text(output.text) }}{% endblock -%}
{%- block data_text scoped %}{{ text(output.data['text/plain']) }}{% endblock -%}
{%- block data_html scoped %}
<div class="notebook-output">
{{ output.data['text/html'] | site_html }}
</div>
{% endblock -%}
{%- block data_png scoped %}
![{{ output.metadata.alt }}](data:image/png;base64,{{ output.data['image/png'] | replace('\n', '') }})
{% endblock -%}
"""
#: Styles that pandas gives its tables: the site has styles for tables without them.
_STYLES: Final = re.compile(
    r'<style\b.*?</style>|(?<=<table) border="1" class="dataframe"| style="text-align: right;"', re.DOTALL
)
_HEADING: Final = re.compile(r"^#+ +(.+)$", re.MULTILINE)


class _NotebookFile(File):
    """A notebook as a page: links and the navigation name the file."""

    def is_documentation_page(self) -> bool:
        return True


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Return the files of the site, with a page for each notebook and the notebook itself to download."""
    for file in [file for file in files if file.src_uri.endswith(_SUFFIX)]:
        files.remove(file)
        files.append(_NotebookFile(file.src_uri, file.src_dir, file.dest_dir, file.use_directory_urls))
        folder, _, name = file.src_uri.rpartition("/")
        files.append(File.generated(config, f"{folder}/download/{name}", content=file.content_bytes))
    return files


def on_page_read_source(page: Page, config: MkDocsConfig) -> str | None:
    """Return the Markdown of a notebook; None for other pages."""
    if not page.file.src_uri.endswith(_SUFFIX):
        return None
    notebook = nbformat.reads(page.file.content_string, as_version=4)
    _describe_pictures(notebook)
    link = f"[Download this notebook](download/{page.file.name}{_SUFFIX}){{ download }}"
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(link))
    exporter = MarkdownExporter(raw_template=_TEMPLATE, filters={"site_html": lambda html: _STYLES.sub("", html)})
    text: str = exporter.from_notebook_node(notebook)[0]
    return text


def _describe_pictures(notebook: Any) -> None:
    """Give each picture a text for readers who do not see it: the heading above."""
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = next(reversed(_HEADING.findall(cell.source)), heading)
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.metadata["alt"] = f"Plot of the section {heading}"
