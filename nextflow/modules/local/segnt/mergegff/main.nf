process SEGNT_MERGEGFF {
    tag "${meta.id} ${meta.features}"
    label 'process_merge'
    ext bases: { meta.bases } // by which conf/base.config asks for memory and time

    conda "${moduleDir}/environment.yml"
    container "segnt-tools/segnt_tools:0.1.0-cpu"

    input:
    // meta.features: genes or elements, the name of the result; meta.code: genetic code of the genes
    // the GFF3 of all groups; existing: an annotation to keep beside the predictions, or []
    tuple val(meta), path(gff3, stageAs: 'groups/*'), path(assembly), path(existing, stageAs: 'existing/*')

    output:
    tuple val(meta), path("${prefix}/${name}.gff3")               , emit: gff3
    tuple val(meta), path("${prefix}/*.fa")   , optional: true, emit: sequences
    tuple val(meta), path("${prefix}/*.tsv")  , optional: true, emit: dropped
    tuple val(meta), path("${prefix}/*.json")                 , emit: json
    tuple val("${task.process}"), val('segnt_tools'), eval("segnt --version | cut -d' ' -f2"), topic: versions, emit: versions_segnt

    script:
    def args = task.ext.args ?: ''
    def given = existing ? "--existing ${existing}" : ''
    name = meta.features
    prefix = task.ext.prefix ?: "${meta.id}"
    // Genes are numbered anew, so their sequences are written here and not where they are called.
    def sequences = name == 'genes' ? "segnt_sequences.py ${prefix}/${name}.gff3 ${assembly} ${prefix} ${meta.code}" : ''
    """
    mkdir -p ${prefix}
    segnt merge-gff ${gff3} --genome ${assembly} --out ${prefix}/${name}.gff3 --json ${prefix}/${name}.merge-gff.json ${given} ${args}
    ${sequences}
    """

    stub:
    name = meta.features
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix}
    echo '##gff-version 3' > ${prefix}/${name}.gff3
    echo '{}' > ${prefix}/${name}.merge-gff.json
    cd ${prefix} && touch proteins.fa cds.fa transcripts.fa
    """
}
