/*
 * Scatter an assembly over its shards, predict each, and gather the tracks files by calling group and by sample.
 */

include { SEGNT_PREDICT } from '../../../modules/local/segnt/predict'
include { group_of      } from '../utils_segnt/shards'
include { in_order      } from '../utils_segnt/shards'
include { read_shards   } from '../utils_segnt/shards'
include { sample_of     } from '../utils_segnt/shards'

workflow PREDICT_SHARDS {
    take:
    assemblies // channel: [ meta, assembly folder, shards.tsv, checkpoint folder or [], fingerprint of the model ]

    main:
    SEGNT_PREDICT(
        assemblies.flatMap { meta, assembly, table, model, fingerprint ->
            read_shards(table).collect { shard -> [meta + shard, assembly, model, fingerprint] }
        }
    )

    // The table says how many shards a group and a sample have, so that each goes on as soon as it is complete.
    groups = SEGNT_PREDICT.out.tracks
        .map { meta, tracks -> [groupKey(group_of(meta), meta.group_shards), tracks] }
        .groupTuple()
        .map { key, tracks -> [key.getGroupTarget(), in_order(tracks)] }
    samples = SEGNT_PREDICT.out.tracks
        .map { meta, tracks -> [groupKey(sample_of(meta), meta.shards), tracks] }
        .groupTuple()
        .map { key, tracks -> [key.getGroupTarget(), in_order(tracks)] }

    emit:
    groups // channel: [ meta with group, groups and group_bases, [tracks files] ]
    samples // channel: [ meta, [tracks files] ]
}
