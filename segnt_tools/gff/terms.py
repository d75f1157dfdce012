"""Sequence Ontology terms that annotation files use, and common words that are no terms, with what to write instead.

A selection of the Sequence Ontology (http://www.sequenceontology.org), not all of its 2,400 terms: types that
NCBI, Ensembl, GENCODE, model organism databases and gene finders write. An accession (`SO:0000704`) is accepted too.
"""

from __future__ import annotations

import re
from typing import Final

KNOWN_TERMS: Final = frozenset(
    """
    gene protein_coding_gene ncRNA_gene lncRNA_gene lincRNA_gene tRNA_gene rRNA_gene snRNA_gene snoRNA_gene miRNA_gene
    scRNA_gene SRP_RNA_gene RNase_P_RNA_gene RNase_MRP_RNA_gene telomerase_RNA_gene tmRNA_gene piRNA_gene
    sense_intronic_ncRNA_gene sense_overlap_ncRNA_gene bidirectional_promoter_lncRNA pseudogene processed_pseudogene
    unprocessed_pseudogene unitary_pseudogene polymorphic_pseudogene duplicated_pseudogene pseudogenic_region
    transposable_element_gene gene_segment blocked_reading_frame C_gene_segment D_gene_segment J_gene_segment
    V_gene_segment immunoglobulin_gene T_cell_receptor_gene gene_group operon gene_fragment pseudogenic_gene_segment
    immunoglobulin_pseudogene gene_member_region transcript primary_transcript processed_transcript mature_transcript
    mRNA pre_miRNA miRNA miRNA_primary_transcript ncRNA lnc_RNA lncRNA lincRNA antisense_RNA antisense_lncRNA
    intronic_lncRNA sense_intronic_ncRNA tRNA rRNA snRNA snoRNA scRNA scaRNA siRNA piRNA tmRNA small_regulatory_ncRNA
    guide_RNA vault_RNA Y_RNA RNase_P_RNA RNase_MRP_RNA SRP_RNA telomerase_RNA telomeric_transcript ribozyme
    autocatalytically_spliced_intron hammerhead_ribozyme enhancer_RNA circular_ncRNA mt_rRNA mt_tRNA mt_gene
    pseudogenic_transcript pseudogenic_tRNA pseudogenic_rRNA nc_primary_transcript protein_coding_primary_transcript
    tRNA_primary_transcript rRNA_primary_transcript snRNA_primary_transcript snoRNA_primary_transcript
    unconfirmed_transcript transcript_region transcribed_region aberrant_processed_transcript NMD_transcript_variant
    three_prime_overlapping_ncrna rRNA_small_subunit_primary_transcript cytosolic_5S_rRNA rRNA_5S rRNA_5_8S rRNA_18S
    rRNA_28S rRNA_25S rRNA_16S rRNA_23S rRNA_21S small_subunit_rRNA large_subunit_rRNA U1_snRNA U2_snRNA U4_snRNA
    U5_snRNA U6_snRNA U11_snRNA U12_snRNA C_D_box_snoRNA H_ACA_box_snoRNA class_I_RNA class_II_RNA RNA
    mRNA_with_frameshift edited_mRNA trans_spliced_mRNA dicistronic_mRNA polycistronic_mRNA spliced_leader_RNA
    allelically_excluded_gene exon coding_exon noncoding_exon five_prime_coding_exon three_prime_coding_exon
    interior_coding_exon interior_exon five_prime_noncoding_exon three_prime_noncoding_exon pseudogenic_exon
    decayed_exon CDS pseudogenic_CDS CDS_fragment edited_CDS CDS_region CDS_predicted start_codon stop_codon codon
    stop_codon_read_through stop_codon_redefined_as_selenocysteine non_canonical_start_codon
    translated_nucleotide_match ORF uORF five_prime_UTR three_prime_UTR UTR UTR_region internal_UTR intron
    five_prime_intron three_prime_intron interior_intron UTR_intron five_prime_UTR_intron three_prime_UTR_intron
    spliceosomal_intron U2_intron U12_intron intron_domain twintron splice_site cis_splice_site
    five_prime_cis_splice_site three_prime_cis_splice_site trans_splice_site splice_junction
    trans_splice_acceptor_site trans_splice_donor_site branch_site polypyrimidine_tract splice_region
    splicing_regulatory_region polyA_site polyA_sequence polyA_signal_sequence polyA_primed_cDNA_clone capped_mRNA cap
    TSS transcription_end_site major_TSS TSS_region CpG_island promoter core_promoter_element
    proximal_promoter_element distal_promoter_element bidirectional_promoter TATA_box CAAT_signal
    GC_rich_promoter_region minus_10_signal minus_35_signal RNApol_II_promoter RNA_polymerase_promoter
    bacterial_RNApol_promoter INR_motif DPE_motif BREu_motif BREd_motif DRE_motif RNApol_III_promoter
    RNApol_I_promoter enhancer silencer insulator boundary_element locus_control_region TF_binding_site
    enhancer_binding_site response_element CTCF_binding_site insulator_binding_site regulatory_region
    transcriptional_cis_regulatory_region CRM regulatory_promoter_element open_chromatin_region
    DNAseI_hypersensitive_site matrix_attachment_site histone_modification histone_binding_site
    histone_methylation_site histone_acetylation_site H3K4_monomethylation_site H3K4_trimethylation
    H3K27_acylation_site epigenetically_modified_region attenuator terminator bacterial_terminator ribosome_entry_site
    Shine_Dalgarno_sequence internal_Shine_Dalgarno_sequence internal_ribosome_entry_site riboswitch
    iron_responsive_element imprinting_control_region recoding_stimulatory_region rho_independent_bacterial_terminator
    replication_regulatory_region methylation_guide_snoRNA methylated_cytosine methylated_adenine
    methylated_DNA_base_feature modified_DNA_base origin_of_replication oriT oriV ARS ARS_consensus_sequence
    plasmid_vector replicon R_loop D_loop centromere telomere point_centromere regional_centromere centromeric_repeat
    telomeric_repeat X_element Y_prime_element X_element_combinatorial_repeat subtelomere nucleotide_motif DNA_motif
    RNA_motif centromere_DNA_Element_I centromere_DNA_Element_II centromere_DNA_Element_III repeat_region
    dispersed_repeat tandem_repeat direct_repeat inverted_repeat nested_repeat microsatellite minisatellite
    satellite_DNA low_complexity low_complexity_region repeat_unit repeat_family
    dinucleotide_repeat_microsatellite_feature trinucleotide_repeat_microsatellite_feature mobile_genetic_element
    transposable_element transposable_element_insertion_site retrotransposon LTR_retrotransposon
    non_LTR_retrotransposon long_terminal_repeat solo_LTR five_prime_LTR three_prime_LTR LINE_element SINE_element
    Copia_LTR_retrotransposon Gypsy_LTR_retrotransposon MITE DNA_transposon terminal_inverted_repeat
    terminal_inverted_repeat_element helitron Mutator_TIR_transposon hAT_TIR_transposon CACTA_TIR_transposon polinton
    PIF_Harbinger_TIR_transposon Tc1_Mariner_TIR_transposon target_site_duplication primer_binding_site
    natural_transposable_element foreign_transposable_element engineered_transposable_element insertion_sequence
    integron integrated_mobile_genetic_element prophage proviral_region endogenous_retroviral_gene
    endogenous_retroviral_sequence pathogenic_island genomic_island nested_transposon RR_tract intein CRISPR
    cryptic_prophage region chromosome chromosome_arm chromosome_band chromosome_part contig supercontig scaffold
    assembly assembly_component clone BAC fosmid YAC clone_insert cosmid tiling_path golden_path golden_path_fragment
    gap read read_pair plasmid mitochondrial_chromosome mitochondrial_DNA chloroplast_chromosome plastid_sequence
    linkage_group nuclear_chromosome macronuclear_chromosome micronuclear_chromosome viral_sequence biological_region
    sequence_feature sequence_alteration sequence_variant sequence_difference sequence_conflict sequence_uncertainty
    sequence_secondary_structure stem_loop pseudoknot experimental_feature experimental_result_region reagent
    databank_entry remark polymorphic_sequence_variant possible_assembly_error possible_base_call_error
    biochemical_region_of_peptide recombination_feature recombination_hotspot meiotic_recombination_region
    mitotic_recombination_region match match_part match_set cDNA_match EST_match nucleotide_match protein_match
    cross_genome_match expressed_sequence_match primer_match protein_hmm_match syntenic_region conserved_region
    homologous_region orthologous_region coding_conserved_region nc_conserved_region polypeptide mature_protein_region
    immature_peptide_region propeptide signal_peptide transit_peptide polypeptide_domain polypeptide_region
    polypeptide_motif transmembrane_polypeptide_region peptide_localization_signal mature_protein_region_of_CDS
    signal_peptide_region_of_CDS propeptide_region_of_CDS transit_peptide_region_of_CDS propeptide_cleavage_site SNP
    SNV MNP MNV substitution insertion deletion indel delins inversion translocation duplication tandem_duplication
    copy_number_variation copy_number_gain copy_number_loss point_mutation complex_substitution structural_alteration
    mobile_element_insertion insertion_site transgene rescue_region RNAi_reagent chromosome_breakpoint
    introgressed_chromosome_region simple_sequence_length_variation haplotype genetic_marker sequence_length_variation
    STS PCR_product primer forward_primer reverse_primer oligo probe microarray_oligo SAGE_tag EST cDNA cDNA_clone
    restriction_fragment RFLP_fragment RAPD RST tag ss_oligo ds_oligo morpholino_oligo quality_value binding_site
    protein_binding_site miRNA_target_site nuclease_binding_site restriction_enzyme_binding_site
    restriction_enzyme_recognition_site recombination_signal_sequence nuclease_hypersensitive_site
    nuclease_sensitive_site DNA_binding_site metal_binding_site post_translationally_modified_region sequence_motif
    mating_type_region silent_mating_type_cassette_array mating_type_M_box intergenic_region dye_terminator_read
    vector_replicon engineered_gene engineered_region engineered_foreign_gene pre_edited_region flanking_region
    RNA_internal_loop non_transcribed_region external_transcribed_spacer_region internal_transcribed_spacer_region
    transcribed_spacer_region
    """.split()  # noqa: SIM905 (a list of 500 strings would hide the terms)
)

# Words often found in column 3 and the term to write instead.
SYNONYMS: Final = {
    "5UTR": "five_prime_UTR",
    "3UTR": "three_prime_UTR",
    "5'-UTR": "five_prime_UTR",
    "3'-UTR": "three_prime_UTR",
    "five_prime_utr": "five_prime_UTR",
    "three_prime_utr": "three_prime_UTR",
    "cds": "CDS",
    "Exon": "exon",
    "Gene": "gene",
    "mrna": "mRNA",
    "MRNA": "mRNA",
    "Transcript": "transcript",
    "trna": "tRNA",
    "rrna": "rRNA",
    "lncrna": "lnc_RNA",
    "misc_RNA": "ncRNA",
    "splice_donor": "five_prime_cis_splice_site",
    "splice_acceptor": "three_prime_cis_splice_site",
    "pcr_product": "PCR_product",
    "polyA_signal": "polyA_signal_sequence",
    "tss": "TSS",
    "similarity": "match",
    "HSP": "match_part",
    "rep_origin": "origin_of_replication",
    "protein": "polypeptide",
    "transcription_start_site": "TSS",
    "satellite": "satellite_DNA",
    "mobile_element": "mobile_genetic_element",
    "misc_feature": "sequence_feature",
    "Selenocysteine": "stop_codon_redefined_as_selenocysteine",
}

_ACCESSION: Final = re.compile(r"SO:[0-9]{7}")


def is_known_term(feature_type: str) -> bool:
    """True for a term of the selection or an accession."""
    return feature_type in KNOWN_TERMS or _ACCESSION.fullmatch(feature_type) is not None
