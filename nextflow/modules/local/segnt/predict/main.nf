process SEGNT_PREDICT {
    tag "${meta.id} ${meta.shard}/${meta.shards}"
    label 'process_gpu'
    ext bases: { meta.shard_bases } // by which conf/base.config asks for memory and time

    conda "${moduleDir}/${task.accelerator ? 'environment.gpu.yml' : 'environment.yml'}"
    container "segnt-tools/segnt_tools:${task.accelerator ? '0.1.0-cuda' : '0.1.0-cpu'}"

    input:
    // model: a checkpoint folder, or [] where meta.model names a model inside the package. fingerprint: of such a model;
    // the script has no use for it, but a task with another fingerprint is another task to -resume
    tuple val(meta), path(assembly), path(model, stageAs: 'model/*'), val(fingerprint)

    output:
    tuple val(meta), path("${prefix}/tracks/*.h5")  , emit: tracks
    tuple val(meta), path("${prefix}/tracks/*.json"), emit: json
    tuple val("${task.process}"), val('segnt_tools'), eval("segnt --version | cut -d' ' -f2"), topic: versions, emit: versions_segnt
    tuple val("${task.process}"), val('torch'), eval('python3 -c "from importlib.metadata import version; print(version(\'torch\'))"'), topic: versions, emit: versions_torch

    script:
    def args = task.ext.args ?: ''
    def device = task.accelerator ? 'cuda' : 'cpu'
    def name = String.format('shard_%05d', meta.shard)
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix}/tracks
    segnt predict ${assembly} \\
        --shard ${meta.shard} \\
        --model ${model ?: meta.model} \\
        --device ${device} \\
        --threads ${task.cpus} \\
        --json ${prefix}/tracks/${name}.json \\
        --out ${prefix}/tracks/${name}.h5 \\
        ${args}
    """

    stub:
    def name = String.format('shard_%05d', meta.shard)
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix}/tracks
    touch ${prefix}/tracks/${name}.h5
    echo '{}' > ${prefix}/tracks/${name}.json
    """
}
