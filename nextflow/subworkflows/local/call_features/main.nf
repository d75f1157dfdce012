/*
 * Call elements and genes, group by group, and merge the groups of a sample.
 */

include { SEGNT_CALLPEAKS                       } from '../../../modules/local/segnt/callpeaks'
include { SEGNT_CALLGENES                       } from '../../../modules/local/segnt/callgenes'
include { SEGNT_MERGEGFF as SEGNT_MERGEGENES    } from '../../../modules/local/segnt/mergegff'
include { SEGNT_MERGEGFF as SEGNT_MERGEELEMENTS } from '../../../modules/local/segnt/mergegff'
include { MERGEBED                              } from '../../../modules/local/mergebed'
include { in_order                              } from '../utils_segnt/shards'
include { sample_of                             } from '../utils_segnt/shards'

workflow CALL_FEATURES {
    take:
    groups // channel: [ meta with group, groups and group_bases, [tracks files] ]
    assemblies // channel: [ meta, assembly folder, existing annotation or [] ]

    main:
    SEGNT_CALLPEAKS(groups)
    SEGNT_CALLGENES(
        groups
            .map { meta, tracks -> [sample_of(meta), meta, tracks] }
            .combine(assemblies, by: 0)
            .map { _sample, meta, tracks, assembly, _existing -> [meta, tracks, assembly] }
    )

    // The genetic code may be that of the model's card, which the callers know.
    translations = SEGNT_CALLGENES.out.json
        .filter { meta, _report -> meta.group == 1 }
        .map { meta, report -> [sample_of(meta), code_of(report)] }
    SEGNT_MERGEGENES(
        whole_samples(SEGNT_CALLGENES.out.gff3)
            .join(assemblies)
            .join(translations)
            .map { meta, gff3, assembly, existing, code -> [meta + [features: 'genes', code: code], gff3, assembly, existing] }
    )
    SEGNT_MERGEELEMENTS(
        whole_samples(SEGNT_CALLPEAKS.out.gff3)
            .join(assemblies)
            .map { meta, gff3, assembly, _existing -> [meta + [features: 'elements'], gff3, assembly, []] }
    )
    MERGEBED(whole_samples(SEGNT_CALLPEAKS.out.bed))

    genes = SEGNT_MERGEGENES.out.gff3.map { meta, gff3 -> [sample_of(meta), gff3] }
    sequences = SEGNT_MERGEGENES.out.sequences.map { meta, fasta -> [sample_of(meta), fasta] }
    elements = SEGNT_MERGEELEMENTS.out.gff3
        .map { meta, gff3 -> [sample_of(meta), gff3] }
        .join(MERGEBED.out.bed)

    emit:
    genes // channel: [ meta, genes.gff3 ]
    sequences // channel: [ meta, [fasta] ]
    elements // channel: [ meta, elements.gff3, elements.bed ]
}

// The genetic code with which the genes of a report of call-genes were called.
def code_of(report) {
    def values = new groovy.json.JsonSlurper().parseText(report.text)
    return values.parameters?.genetic_code ?: 1
}

// Gather the files of all groups of a sample: [ meta, [files in the order of the groups] ].
def whole_samples(files) {
    return files
        .map { meta, path -> [groupKey(sample_of(meta), meta.groups), path] }
        .groupTuple()
        .map { key, paths -> [key.getGroupTarget(), in_order(paths)] }
}
