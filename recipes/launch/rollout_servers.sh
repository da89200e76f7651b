#!/usr/bin/env bash
# Stage 2 over several nodes: on each node some GPUs serve rollouts (vLLM, in an environment of its own), the others train (torchrun).
#
# Run the same command on every node; only NODE_RANK differs. Not tried on GPUs: the commands it starts are tested, the servers on a CPU.
#
#   export VIDEOPERCEIVER_ENGINE_TOKEN=...            # the same everywhere: servers that other nodes reach need it
#   NODES="node0 node1" NODE_RANK=0 CHECKPOINT=/shared/stage1/model VLLM_PYTHON=/opt/vllm/bin/python \
#     bash recipes/launch/rollout_servers.sh recipes/qwen2.5-vl-7b/grpo.yaml train=[/shared/train.parquet] output=/shared/runs/grpo
#
# NODES           host names, node 0 first            NODE_RANK     this node's index in NODES
# CHECKPOINT      what stage 2 starts from            VLLM_PYTHON   interpreter of the vLLM environment
# SERVE_GPUS      GPUs of rollout servers [6,7]       TRAIN_GPUS    GPUs of the trainer [0,1,2,3,4,5]
# LORA_RANK       the recipe's model.lora_rank [0]    DTYPE         the recipe's model.dtype [bfloat16]
# FIRST_PORT      of the servers [8100]               TRAIN_PORT    of torchrun's rendezvous [29500]
set -euo pipefail

: "${NODES:?host names, node 0 first}" "${NODE_RANK:?index of this node in NODES}" "${CHECKPOINT:?what stage 2 starts from}"
: "${VLLM_PYTHON:?interpreter of the vLLM environment}" "${VIDEOPERCEIVER_ENGINE_TOKEN:?any secret, the same on every node}"
[ $# -ge 1 ] || { echo "usage: $0 RECIPE [key=value ...]" >&2; exit 2; }
IFS=, read -ra serve <<< "${SERVE_GPUS:-6,7}"
IFS=, read -ra train <<< "${TRAIN_GPUS:-0,1,2,3,4,5}"
read -ra nodes <<< "$NODES"
first_port=${FIRST_PORT:-8100}

servers=()
for node in "${nodes[@]}"; do
  for i in "${!serve[@]}"; do servers+=("http://$node:$((first_port + i))"); done
done

started=()
trap '[ ${#started[@]} -eq 0 ] || kill "${started[@]}" 2>/dev/null || true' EXIT
for i in "${!serve[@]}"; do
  CUDA_VISIBLE_DEVICES=${serve[$i]} "$VLLM_PYTHON" -m videoperceiver.training.engines.owned \
    "$VLLM_PYTHON" -m videoperceiver.training.engines.vllm_server "$CHECKPOINT" \
    --host "${nodes[$NODE_RANK]}" --port "$((first_port + i))" --dtype "${DTYPE:-bfloat16}" --lora-rank "${LORA_RANK:-0}" &
  started+=($!)
done

list=$(IFS=,; echo "${servers[*]}")
CUDA_VISIBLE_DEVICES=$(IFS=,; echo "${train[*]}") "${TORCHRUN:-torchrun}" \
  --nnodes "${#nodes[@]}" --node-rank "$NODE_RANK" --nproc-per-node "${#train[@]}" \
  --master-addr "${nodes[0]}" --master-port "${TRAIN_PORT:-29500}" --no-python \
  videoperceiver grpo "$@" "model.path=$CHECKPOINT" engine.kind=server "engine.servers=[$list]"
