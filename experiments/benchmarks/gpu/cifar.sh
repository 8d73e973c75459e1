#!/bin/sh
# The networks of cvpr2022/cifar_models on all of CIFAR-10, with stems that keep small images: 1,000 removals of each,
# which two cores take long for. A second start goes on where the first one ended.
#
#   sh experiments/benchmarks/gpu/cifar.sh FOLDER [OVERRIDE ...]      (such as model=resnet18; EXPUNGE_DATA: the batches)
#
# PYTHON is the interpreter (python).
set -eu
cd "$(dirname "$0")/../../.."
[ $# -gt 0 ] || { echo "cifar.sh: got no folder, allowed: cifar.sh FOLDER [OVERRIDE ...]" >&2; exit 2; }
folder=$1
shift
"${PYTHON:-python}" -m expunge -m +experiment=cvpr2022/cifar_models model=resnet18,resnet50,mobilenet_v2,densenet121 \
  model.small_images=true "hydra.sweep.dir=$folder" "$@"
