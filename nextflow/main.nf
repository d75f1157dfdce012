#!/usr/bin/env nextflow
/*
 * segnt: annotate assembled genomes at single-nucleotide resolution.
 * Entry point: check the samplesheet, run the workflow, say how it went.
 */

include { SEGNT               } from './workflows/segnt'
include { PIPELINE_START      } from './subworkflows/local/utils_segnt'
include { PIPELINE_COMPLETION } from './subworkflows/local/utils_segnt'

workflow {
    main:
    PIPELINE_START(params)
    SEGNT(PIPELINE_START.out.samples)
    PIPELINE_COMPLETION(SEGNT.out.versions, params.outdir)
}
