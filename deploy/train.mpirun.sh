#!/bin/bash
# A rankcast job under Open MPI: deploy/train.mpirun.sh hostA:4,hostB:4 train.js checkpoint.pt
set -eu
hosts=$1
shift

# See train.sbatch: a secret that all hosts can read and nobody else can.
umask 077
RANKCAST_TOKEN_FILE=$(mktemp "$HOME/.rankcast-token.XXXXXX")
export RANKCAST_TOKEN_FILE
trap 'rm -f "$RANKCAST_TOKEN_FILE"' EXIT
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$RANKCAST_TOKEN_FILE"

# mpirun tells its ranks no head address: the host of rank 0, the first of the list, is it.
first=${hosts%%[:,]*}
mpirun --host "$hosts" -x RANKCAST_TOKEN_FILE -x RANKCAST_RDZV_ENDPOINT="$first:29400" node "$@"
