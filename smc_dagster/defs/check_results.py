"""Results of checks, as the instance has them on record.

What belongs here: the last result of every check of what an arm is made from. What does not: checking (checks.py).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES

from smc_dagster.study import Arm


def of_arm(instance: dg.DagsterInstance, defs: dg.Definitions, arm: Arm) -> list[dict[str, Any]]:
    """One row a check: `asset`, `check`, `partition`, `passed`, `severity`, `time` (UTC); those never run are left out.

    Of a table that is partitioned, the partition is the arm's or its pool's; where a check has no result for it, the
    last one that is recorded without a partition counts, which is that of all arms of a launch.
    """
    graph = defs.resolve_asset_graph()
    rows = []
    for key in sorted(graph.asset_check_keys, key=lambda one: (one.asset_key.to_user_string(), one.name)):
        partitions = graph.get(key.asset_key).partitions_def
        keys = set() if partitions is None else set(partitions.get_partition_keys(dynamic_partitions_store=instance))
        own = arm.key if arm.key in keys else arm.series.pool if arm.series.pool in keys else None
        if partitions is not None and own is None:
            continue
        storage = instance.event_log_storage
        for partition in dict.fromkeys([own, None]):
            found = storage.get_latest_asset_check_execution_by_key([key], PartitionKeyFilter(key=partition)).get(key)
            done = found is not None and found.status in COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
            evaluation = found.evaluation if found is not None and done else None
            if found is not None and evaluation is not None:
                rows.append(
                    {
                        "asset": key.asset_key.to_user_string(),
                        "check": key.name,
                        "partition": partition,
                        "passed": evaluation.passed,
                        "severity": evaluation.severity.value.lower(),
                        "time": datetime.fromtimestamp(found.create_timestamp, UTC).strftime("%Y-%m-%d %H:%M"),
                    }
                )
                break
    return rows
