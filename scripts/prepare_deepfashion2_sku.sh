#!/usr/bin/env bash
# Prepare DeepFashion2 for SKU retrieval: a thin front to `python -m skufp stage=prepare`.
#   DF2_ROOT=…/deepfashion2 SKU_ROOT=…/deepfashion2_sku [SPLITS="train validation"] scripts/prepare_deepfashion2_sku.sh [setting=value …]
set -euo pipefail
: "${DF2_ROOT:?set DF2_ROOT to the folder that holds train/, validation/ (and test/)}"
: "${SKU_ROOT:?set SKU_ROOT to the folder to write to}"
SPLITS="${SPLITS:-train validation test}"
list="[$(echo $SPLITS | tr -s ' ,' ',')]"
exec "${PYTHON:-python}" -m skufp stage=prepare data=deepfashion2 "data.root='$DF2_ROOT'" "data.export_to='$SKU_ROOT'" \
  "data.splits=$list" "$@"
