#!/bin/bash
# Runs the fault tests of the PostgreSQL store again and again, with other seeds each time, and stops at the first run
# that fails: `test/faults/repeat.sh 20`. Further arguments go to vitest, such as the files to run.
#
# A night's work:
#   FAULT_SEEDS=200 pnpm exec vitest run test/faults/postgres/Nemesis.test.ts       200 seeds from FAULT_SEED (1) on
#   FAULT_SEEDS=1 FAULT_OPERATIONS=100000 pnpm exec vitest run …/Nemesis.test.ts    a soak of hours
#   FAULT_SECONDS=600 FAULT_KILLS=20 FAULT_INTERRUPTIONS=100000 FAULT_EVENTS=1000000 test/faults/repeat.sh 1
#   KILLS=200 STOPS=5 ROUNDS=20 REBUILD_KILLS=20 test/faults/repeat.sh 1 test/faults/projections      subscriptions
#   DURABLE_KILLS=50 DURABLE_ROUNDS=20 test/faults/repeat.sh 1 test/faults/durable                     durable effects
set -euo pipefail
cd "${BASH_SOURCE[0]%/*}/../.."
times=${1:-20}
shift || true
for ((run = 1; run <= times; run++)); do
  FAULT_SEED=${FAULT_SEED:-$RANDOM} node_modules/.bin/vitest run "${@:-test/faults/postgres}" || {
    echo "run $run of $times failed"
    exit 1
  }
  echo "run $run of $times passed"
  unset FAULT_SEED
done
