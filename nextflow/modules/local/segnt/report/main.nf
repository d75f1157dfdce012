process SEGNT_REPORT {
    tag "${meta.id}"
    label 'process_merge'
    ext bases: { meta.bases } // by which conf/base.config asks for memory and time

    conda "${moduleDir}/environment.yml"
    container "segnt-tools/segnt_tools:0.1.0-cpu"

    input:
    // staged as the run folder that `segnt annotate` leaves; existing and evaluation are [] where there is none
    tuple val(meta), path(assembly, stageAs: 'run/assembly'), path(results, stageAs: 'run/*'), path(bigwig, stageAs: 'run/tracks/*'), path(existing, stageAs: 'existing/*'), path(evaluation, stageAs: 'run/evaluate')

    output:
    tuple val(meta), path("${prefix}/report.html")               , emit: html
    tuple val(meta), path("${prefix}/report.{json,tsv}")         , emit: numbers
    tuple val(meta), path("multiqc/${prefix}_mqc.json")          , emit: multiqc
    tuple val("${task.process}"), val('segnt_tools'), eval("segnt --version | cut -d' ' -f2"), topic: versions, emit: versions_segnt

    script:
    def args = task.ext.args ?: ''
    def given = existing ? "--existing ${existing}" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    # The page and MultiQC name a run as its folder is named; a link would not do, since they follow it.
    mkdir -p ${prefix} named multiqc
    mv run named/${prefix}
    segnt report named/${prefix} --genome named/${prefix}/assembly --out ${prefix}/report.html ${given} ${args}
    mv ${prefix}/report_mqc.json multiqc/${prefix}_mqc.json
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix} multiqc
    touch ${prefix}/report.html ${prefix}/report.json ${prefix}/report.tsv
    echo '{}' > multiqc/${prefix}_mqc.json
    """
}
