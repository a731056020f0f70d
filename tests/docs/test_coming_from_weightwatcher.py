"""The page names everything that WeightWatcher 0.7.7 has, and nothing here that is not."""

import pkgutil
import re

import numpy as np
import pytest

import ww_core as ww
from tests.docs.test_pages import PAGES, ROOT
from ww_core.plugins.discovery import load_plugins

PAGE = (ROOT / "docs/how-to/coming-from-weightwatcher.md").read_text(encoding="utf-8")


def names(text):
    return text.split()


FUNCTIONS = names("""
SVDSharpness SVDSmoothing analyze analyze_pytorch_bins analyze_vectors apply_FFT apply_analyze_eigenvectors apply_detX
apply_esd apply_mp_fit apply_norm_metrics apply_normalize_Wmats apply_permute_W apply_plot_deltaEs apply_plot_esd
apply_powerlaw apply_random_esd apply_svd_sharpness apply_svd_smoothing apply_unpermute_W apply_watcher_to_pytorch_bins
banner combined_eigenvalues describe describe_pytorch_bins distances extract_pytorch_bins extract_pytorch_statedict_
extract_safetensors_config_ fit_powerlaw found_pystate_config get_ESD get_Weights get_details get_framework_layer
get_summary glorot_norm_check glorot_norm_fix header infer_framework infer_model_file_format iterate_vectors
layer_type_from_str load_framework_imports make_delta_layer_iterator make_layer_iterator make_peft_layer_iterator
matrix_distance model_deltas mp_fit normalize_evals normalize_params plot_random_esd random_eigenvalues
read_keras_h5_file read_pystatedict_config replace_layer_weights same_models set_model_ smooth_W smooth_W_alt
valid_framework valid_params valid_vectors vector_metrics write_pystatedict_config
""")

OPTIONS = names("""
model layers min_evals max_evals min_size max_size max_N glorot_fix plot randomize savefig mp_fit conv2d_norm ww2x pool
conv2d_fft fft deltas intra vectors channels stacked fix_fingers xmin_max max_fingers finger_thresh fit sparsify detX
ERG svd_method tolerance start_ids pl_package xmax base_model peft inverse
""")

COLUMNS = names("""
layer_id name D ERG_gap M N Q W_scale alpha alpha_weighted bulk_max bulk_mean_loc_ratio bulk_mean_part_ratio
bulk_mean_vec_entropy bulk_min bulk_var_loc_ratio bulk_var_part_ratio bulk_var_vec_entropy detX_num detX_val
detX_val_unrescaled entropy has_esd lambda_max layer_type log_alpha_norm log_norm log_spectral_norm longname
matrix_rank max_rand_eval mp_softrank norm num_ERG_spikes num_evals num_pl_spikes num_spikes num_traps rand_W_scale
rand_bulk_max rand_bulk_min rand_distance rand_mp_softrank rand_num_spikes rand_sigma_mp rank_loss rf sigma sigma_mp
spectral_norm stable_rank status sv_max sv_min tail_mean_loc_ratio tail_mean_part_ratio tail_mean_vec_entropy
tail_var_loc_ratio tail_var_part_ratio tail_var_vec_entropy warning weak_rank_loss ww_maxdist ww_softrank xmax xmin
slice_id peft Xflag Lambda num_fingers raw_alpha model_name model_filename method delta_W delta_b b_shape length
discrete_entropy localization_ratio participation_ratio
""")


def table_below(heading):
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.split(" | ")] for line in section.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize(
    ("heading", "expected"), [("Functions", FUNCTIONS), ("Options of `analyze`", OPTIONS), ("Columns", COLUMNS)]
)
def test_every_name_has_a_row(heading, expected):
    named = {name for row in table_below(heading) for name in re.findall(r"`(\w+)[`(]", row[0])}
    assert set(expected) <= named, "names without a row"
    assert named - set(expected) <= {"WeightWatcher"}, "rows without a name"


def test_what_is_as_is_exists_here():
    ours = {column.name for owned in load_plugins().quantities for column in owned.object.columns} | {"N", "M", "Q"}
    for row in table_below("Columns"):
        if row[1] == "as is":
            assert set(re.findall(r"`(\w+)`", row[0])) <= ours


def test_what_pages_name_in_python_is_there():
    named = {
        name
        for page in PAGES
        for name in re.findall(r"`((?:ww_core|ww_plugins)(?:\.\w+)+)[`(]", page.read_text("utf-8"))
    }
    assert named
    for name in named:
        pkgutil.resolve_name(name.removesuffix(".py"))


def test_the_row_of_conv2d_norm_turns_it_off():
    (row,) = [row for row in table_below("Options of `analyze`") if row[0].startswith("| `conv2d_norm`")]
    extractor = re.search(r"False is `--profile weightwatcher --extractor '?([^'`]+)", row[1]).group(1)
    kernel = {"conv.weight": np.random.default_rng(0).standard_normal((12, 10, 3, 3))}
    halved, own = (
        ww.analyze(kernel, profile="weightwatcher", extractors=chosen).layers[0].metrics["frobenius_norm"].number
        for chosen in ([], [extractor])
    )
    assert own**2 == pytest.approx(2 * halved**2) == pytest.approx(np.square(kernel["conv.weight"]).sum())
