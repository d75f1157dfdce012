/*
 * The workflow: preprocess -> choose or adapt a model -> scatter shards -> predict -> gather groups -> call -> merge -> export, evaluate, report.
 * Channel wiring only; what a tool does is in its module, how it is called in conf/modules.config.
 */

include { SEGNT_ADAPT      } from '../modules/local/segnt/adapt'
include { SEGNT_PREPROCESS } from '../modules/local/segnt/preprocess'
include { SEGNT_SELECT     } from '../modules/local/segnt/select'
include { PREDICT_SHARDS   } from '../subworkflows/local/predict_shards'
include { CALL_FEATURES    } from '../subworkflows/local/call_features'
include { SEGNT_TRACKS     } from '../modules/local/segnt/tracks'
include { SEGNT_EVALUATE   } from '../modules/local/segnt/evaluate'
include { SEGNT_REPORT     } from '../modules/local/segnt/report'
include { adaptation       } from '../subworkflows/local/utils_segnt/models'
include { bases_of         } from '../subworkflows/local/utils_segnt/shards'
include { shard_rows       } from '../subworkflows/local/utils_segnt/shards'

workflow SEGNT {
    take:
    samples // channel: [ meta, [fasta, model, fingerprint, annotation, reference, regions, adapt_fasta, adapt_annotation] ]; a file that is not given is []

    main:
    SEGNT_PREPROCESS(samples.map { meta, files -> [meta, files.fasta, files.regions] })

    given = samples.branch { _meta, files ->
        adapted: files.adapt_fasta
        ready: true
    }
    SEGNT_ADAPT(given.adapted.map { meta, files -> adaptation(meta, files) })
    modelled = given.adapted
        .join(SEGNT_ADAPT.out.model)
        .map { meta, files, model -> [meta, files + [model: model, fingerprint: '']] }
        .mix(given.ready)

    // From here on the meta map holds the number of bases, by which resources are asked for.
    checked = SEGNT_PREPROCESS.out.assembly
        .join(SEGNT_PREPROCESS.out.shards)
        .join(modelled)
        .map { meta, assembly, table, files -> [meta + [bases: bases_of(shard_rows(table))], assembly, table, files] }
        .branch { meta, _assembly, _table, files ->
            automatic: meta.model == 'auto' && !files.model
            named: true
        }

    // Chosen once, so that all shards of an assembly have the same model on whatever device they run.
    SEGNT_SELECT(checked.automatic.map { meta, assembly, _table, files -> [meta, assembly, files.fingerprint] })
    prepared = checked.automatic
        .join(SEGNT_SELECT.out.model)
        .map { meta, assembly, table, files, chosen -> [meta + [model: chosen], assembly, table, files] }
        .mix(checked.named)

    PREDICT_SHARDS(prepared.map { meta, assembly, table, files -> [meta, assembly, table, files.model, files.fingerprint] })
    CALL_FEATURES(
        PREDICT_SHARDS.out.groups,
        prepared.map { meta, assembly, _table, files -> [meta, assembly, files.annotation] },
    )
    SEGNT_TRACKS(PREDICT_SHARDS.out.samples)

    references = prepared
        .filter { _meta, _assembly, _table, files -> files.reference }
        .map { meta, assembly, _table, files -> [meta, assembly, files.reference] }
    SEGNT_EVALUATE(CALL_FEATURES.out.genes.join(references))

    // The files of a sample as one list; the evaluation is there only where a reference was given.
    results = CALL_FEATURES.out.genes
        .join(CALL_FEATURES.out.elements)
        .join(CALL_FEATURES.out.sequences)
        .map { meta, genes, gff3, bed, fasta -> [meta, [genes, gff3, bed] + fasta] }
    SEGNT_REPORT(
        prepared.map { meta, assembly, _table, files -> [meta, assembly, files.annotation] }
            .join(results)
            .join(SEGNT_TRACKS.out.bigwig)
            .join(SEGNT_EVALUATE.out.folder, remainder: true)
            .filter { row -> row[1] } // an evaluation whose sample failed elsewhere has no report
            .map { meta, assembly, existing, files, bigwig, evaluation ->
                [meta, assembly, files, bigwig, existing, evaluation ?: []]
            }
    )

    genes = CALL_FEATURES.out.genes
    report = SEGNT_REPORT.out.html
    versions = channel.topic('versions')

    emit:
    genes // channel: [ meta, gff3 ]
    report // channel: [ meta, html ]
    versions // channel: [ process, tool, version ]
}
