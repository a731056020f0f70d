"""The published numbers, as they come into a store: each file through ``import_table``, by the mapping beside this."""

from __future__ import annotations

from pathlib import Path

import ww_core as ww

MAPPINGS = Path(__file__).parent

SERIES = "ww-trends-2020 series_metrics"
SERIES_RIGHT = "ww-trends-2020 series_metrics, right labels"
LAYERS = "ww-trends-2020 layers"
GPT_LOG = "ww-trends-2020 gpt_openai_log"
OSMR = "ww-trends-2020 osmr_models"
OSMR_OLD = "ww-trends-2020 osmr_models_ww023"
README = "ww-trends-2020 osmr_readme_rows"
SDM = "ww-trends-2020 sdm2019_models"

FILES = {
    "series_metrics.csv": ["series_metrics", "series_metrics_right"],
    "models.csv": ["models"],
    "layers.csv.gz": ["layers"],
    "gpt_openai_log.csv": ["gpt_openai_log"],
    "osmr_models.csv": ["osmr_models"],
    "osmr_models_ww023.csv.gz": ["osmr_models_ww023"],
    "osmr_readme_errors.csv.gz": ["osmr_readme_errors", "osmr_readme_rows"],
    "sdm2019_models.csv": ["sdm2019_models"],
}
"""Mappings by file of the data's folder."""


def import_all(folder: Path, store: ww.Store) -> None:
    """Import every file.

    Raises:
        WWError: A file is missing, or is not what its mapping says.
    """
    for file, mappings in FILES.items():
        for mapping in mappings:
            ww.import_table(folder / file, mapping=MAPPINGS / f"{mapping}.toml", store=store)
