process SEGNT_ADAPT {
    tag "${meta.id}"
    label 'process_adapt'

    conda "${moduleDir}/environment.yml"
    container "segnt-tools/segnt_tools:0.1.0-cpu"

    input:
    // genome, annotation: with trusted genes to learn from. model: the checkpoint folder to start from, or [] where
    // base names a model inside the package ('' for the recipe's). fingerprint: of such a model, for -resume
    tuple val(meta), path(genome, stageAs: 'genome/*'), path(annotation, stageAs: 'annotation/*'), path(model, stageAs: 'base/*'), val(base), val(fingerprint)

    output:
    tuple val(meta), path("${prefix}/model")                 , emit: model
    tuple val(meta), path("${prefix}/model/card.json")       , emit: card
    tuple val("${task.process}"), val('segnt_tools'), eval("segnt --version | cut -d' ' -f2"), topic: versions, emit: versions_segnt

    script:
    def args = task.ext.args ?: ''
    def start = model ? "--base ${model}" : base ? "--base ${base}" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix}
    segnt train adapt \\
        --genome ${genome} \\
        --annotation ${annotation} \\
        ${start} \\
        --device cpu \\
        --threads ${task.cpus} \\
        --out trained \\
        --set card.name=${meta.id}_adapted \\
        ${args}
    # Without the state that only a resumed training needs.
    rm -f trained/training/state.pt
    mv trained ${prefix}/model
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix}/model
    echo '{}' > ${prefix}/model/card.json
    """
}
