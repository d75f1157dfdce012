process SEGNT_PREPROCESS {
    tag "${meta.id}"
    label 'process_single'
    ext bases: { fasta.size() } // by which conf/base.config asks for memory and time

    conda "${moduleDir}/environment.yml"
    container "segnt-tools/segnt_tools:0.1.0-cpu"

    input:
    // regions: a BED file of what alone is to be annotated, or []
    tuple val(meta), path(fasta), path(regions, stageAs: 'regions/*')

    output:
    tuple val(meta), path("${prefix}/assembly")           , emit: assembly
    tuple val(meta), path("${prefix}/assembly/shards.tsv"), emit: shards
    tuple val("${task.process}"), val('segnt_tools'), eval("segnt --version | cut -d' ' -f2"), topic: versions, emit: versions_segnt

    script:
    def args = task.ext.args ?: ''
    def given = regions ? "--regions ${regions}" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix}
    segnt preprocess ${fasta} --out ${prefix}/assembly ${given} ${args}
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix}/assembly
    cd ${prefix}/assembly
    echo '' | gzip > assembly.fa.gz
    touch assembly.fa.gz.fai assembly.fa.gz.gzi contigs.tsv gaps.bed softmasked.bed preprocess.json
    printf '#shard\\tgroup\\tcontig\\tstart\\tend\\n1\\t1\\tlong\\t0\\t600\\n2\\t1\\tlong\\t600\\t1200\\n3\\t2\\tshort\\t0\\t500\\n' > shards.tsv
    """
}
