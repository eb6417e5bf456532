#!/bin/sh
# For you to take: a fleet on a Slurm cluster, as an array whose tasks each take a part of the deployments:
#
#     export ISO_PROJECT=/shared/clawdie-iso BASES="$(clawdie-iso publish deployments/ --to registry.example/team/bases)"
#     sbatch --array=1-25 docs/ci/slurm.sh deployments/ /shared/images
#
# ISO_PROJECT is this project, built; with BASES no task builds a base image. The array begins at 1. A task whose node dies is
# queued again, by Slurm, and goes on where it was. A variable CLAWDIE_<KEY>__<NAME> reaches the deployment <NAME>.cfg alone.
#SBATCH --job-name=clawdie-fleet
#SBATCH --array=1-8
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --requeue
#SBATCH --open-mode=append
set -eu
deployments=$1
out=$2
set -- fleet "${deployments}" --shard "${SLURM_ARRAY_TASK_ID}/${SLURM_ARRAY_TASK_COUNT}"
set -- "$@" --out "${out}/part-${SLURM_ARRAY_TASK_ID}"
[ -z "${BASES-}" ] || set -- "$@" --bases "${BASES}"
exec node "${ISO_PROJECT}/lib/build/main.js" "$@"
