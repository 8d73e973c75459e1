#!/bin/sh
# cvpr2022/cifar_models and retrain_cifar on all of CIFAR-10 with networks that two cores take hours for: stems that
# keep small images whole, 1,000 removals of each. Held against what was published; a second start goes on where the
# first one ended.
#
#   sh experiments/benchmarks/gpu/cifar.sh FOLDER [OVERRIDE ...]      (such as model=resnet18; EXPUNGE_DATA: the batches)
#
# PYTHON is the interpreter (python).
set -eu
cd "$(dirname "$0")/../../.."
[ $# -gt 0 ] || { echo "cifar.sh: got no folder, allowed: cifar.sh FOLDER [OVERRIDE ...]" >&2; exit 2; }
folder=$1
shift
"${PYTHON:-python}" -c "from expunge.core.door import reproduce; reproduce()" cvpr2022 --out "$folder" \
  --only cifar_models retrain_cifar model=resnet18,vgg11_bn,resnet50,mobilenet_v2,densenet121 model.small_images=true "$@"
