/*
 * What surrounds the workflow: the samplesheet and the parameters checked before any task, versions and a last word after.
 * No plugin and no task is needed for it, so that a mistake costs seconds, on a laptop without internet as on a cluster.
 */

include { named_models } from './models'

workflow PIPELINE_START {
    take:
    given // map: all parameters

    main:
    def problems = check_params(given, "${projectDir}/nextflow_schema.json")
    if (!given.input) {
        problems << "--input is missing: give a samplesheet (columns: ${sheet_columns().join(', ')})"
    }
    if (!given.outdir) {
        problems << "--outdir is missing: give the folder for the results"
    }
    if (problems) {
        error("${workflow.manifest.name} cannot start:\n  * ${problems.join('\n  * ')}\nSee docs/usage.md.")
    }
    samples = channel.fromList(
        read_samplesheet(file(given.input), given.model.toString(), given.models_dir, named_models())
    )

    emit:
    samples // channel: [ meta, [fasta, model, fingerprint, annotation, reference, regions, adapt_fasta, adapt_annotation] ]
}

workflow PIPELINE_COMPLETION {
    take:
    versions // channel: [ process, tool, version ]
    outdir // path of the results

    main:
    versions
        .map { process, tool, version -> "${process.tokenize(':')[-1]}:\n    ${tool}: ${version}" }
        .unique()
        .collectFile(
            name: 'software_versions.yml',
            storeDir: "${outdir}/pipeline_info",
            sort: true,
            newLine: true,
            seed: "Workflow:\n    ${workflow.manifest.name}: ${workflow.manifest.version}\n    Nextflow: ${workflow.nextflow.version}",
        )

    workflow.onComplete { last_word(outdir) }
}

// What a user reads last.
def last_word(outdir) {
    if (workflow.success) {
        log.info("Done. The results are in ${outdir}: one folder a sample; open report.html first.")
    }
    else {
        log.info("Not finished. Mend what is said above and give the same command with -resume: it repeats only what is missing.")
    }
}

// Columns of the samplesheet; the first two are required. assets/schema_input.json says the same to other programs.
def sheet_columns() {
    return ['sample', 'fasta', 'model', 'annotation', 'reference', 'regions', 'genetic_code', 'adapt_fasta', 'adapt_annotation']
}

def required_columns() {
    return ['sample', 'fasta']
}

// Numbers of NCBI's genetic codes.
def genetic_codes() {
    return (1..6) + (9..16) + (21..33)
}

/*
 * The rows of a samplesheet as [meta, files]; ends the run with one message that lists every mistake.
 * Relative paths in the sheet are relative to the sheet.
 */
def read_samplesheet(sheet, default_model, models_dir, models) {
    def lines = sheet_lines(sheet)
    def separator = lines[0].contains('\t') ? '\t' : ','
    def header = lines[0].split(separator, -1).collect { cell -> unquoted(cell) }
    check_header(sheet, header)
    def problems = []
    def seen = [:]
    def samples = []
    lines.eachWithIndex { line, index ->
        if (index > 0 && line.trim()) {
            def where = "line ${index + 1}"
            def cells = line.split(separator, -1).collect { cell -> unquoted(cell) }
            if (cells.size() != header.size()) {
                problems << "${where}: ${cells.size()} columns, but the header has ${header.size()}"
            }
            else {
                def row = [header, cells].transpose().collectEntries()
                problems.addAll(check_sample_name(row.sample, where, seen))
                def wrong = []
                def given = [
                    fasta: sheet_file(sheet, row, 'fasta', where, wrong),
                    annotation: sheet_file(sheet, row, 'annotation', where, wrong),
                    reference: sheet_file(sheet, row, 'reference', where, wrong),
                    regions: sheet_file(sheet, row, 'regions', where, wrong),
                    adapt_fasta: sheet_file(sheet, row, 'adapt_fasta', where, wrong),
                    adapt_annotation: sheet_file(sheet, row, 'adapt_annotation', where, wrong),
                ] + sheet_model(sheet, row.model ?: default_model, models_dir, models, where, wrong)
                def code = row.genetic_code // empty: the one of the model's card
                if (code && !(code in genetic_codes().collect { number -> "${number}".toString() })) {
                    wrong << "${where}: genetic_code '${code}' is not a number of NCBI's table of genetic codes"
                }
                if (!row.adapt_fasta != !row.adapt_annotation) {
                    wrong << "${where}: adapt_fasta and adapt_annotation belong together, a genome and its trusted genes: give both or neither".toString()
                }
                problems.addAll(wrong)
                if (!wrong) {
                    def meta = [id: row.sample, model: row.model ?: default_model, genetic_code: code ? code.toInteger() : null]
                    samples << [meta, given]
                }
            }
        }
    }
    if (!problems && !samples) {
        problems << 'there is a header but no sample'
    }
    if (problems) {
        error("The samplesheet ${sheet} has ${problems.size()} mistake${problems.size() == 1 ? '' : 's'}:\n  * ${problems.join('\n  * ')}\nNothing was run.")
    }
    return samples
}

def sheet_lines(sheet) {
    if (!sheet.exists() || sheet.isDirectory()) {
        error("There is no samplesheet ${sheet}: give a CSV file with --input (columns: ${sheet_columns().join(', ')}).")
    }
    if (sheet.name ==~ /(?i).*\.(fa|fasta|fna|fas)(\.b?gz)?/) {
        error("${sheet} is an assembly, but --input wants a samplesheet: a CSV file with the columns ${sheet_columns().join(', ')}.")
    }
    def lines = sheet.text.replace('\uFEFF', '').split(/\r\n|\r|\n/, -1).toList()
    if (!lines[0].trim()) {
        error("The samplesheet ${sheet} is empty, or its first line is: it must name the columns ${sheet_columns().join(', ')}.")
    }
    return lines
}

def unquoted(cell) {
    def text = cell.trim()
    return text.length() > 1 && text.startsWith('"') && text.endsWith('"') ? text.substring(1, text.length() - 1) : text
}

def check_header(sheet, header) {
    def problems = []
    if (header.size() == 1 && header[0].contains(';')) {
        problems << "its columns are separated by ';', not by ',' or tabs"
    }
    def missing = required_columns() - header
    def unknown = header - sheet_columns()
    def twice = header.countBy { name -> name }.findAll { _name, count -> count > 1 }.keySet()
    if (missing) {
        problems << "missing column${missing.size() == 1 ? '' : 's'}: ${missing.join(', ')}"
    }
    if (unknown) {
        problems << "unknown column${unknown.size() == 1 ? '' : 's'}: ${unknown.join(', ')}"
    }
    if (twice) {
        problems << "column given twice: ${twice.join(', ')}"
    }
    if (problems) {
        error("The first line of the samplesheet ${sheet} is wrong: ${problems.join('; ')}. Columns: ${sheet_columns().join(', ')}; required: ${required_columns().join(', ')}. Nothing was run.")
    }
}

def check_sample_name(name, where, seen) {
    if (!name) {
        return ["${where}: no sample name"]
    }
    if (!(name ==~ /[A-Za-z0-9][A-Za-z0-9_.-]*/)) {
        return ["${where}: sample name '${name}' may hold letters, digits, '_', '.' and '-' only, and begins with a letter or digit"]
    }
    if (seen.containsKey(name)) {
        return ["${where}: sample '${name}' was already given in ${seen[name]}"]
    }
    seen[name] = where
    return []
}

// A file of a row, or [] if the cell is empty.
def sheet_file(sheet, row, column, where, problems) {
    def text = row[column]
    if (!text) {
        if (column in required_columns()) {
            problems << "${where}: no ${column}".toString()
        }
        return []
    }
    def sequence = 'fa|fasta|fna|fas|fsa|ffn'
    def endings = [fasta: sequence, adapt_fasta: sequence, regions: 'bed'].get(column, 'gff|gff3|gtf')
    if (!(text ==~ "(?i).*\\.(${endings})(\\.b?gz|\\.bz2|\\.xz)?")) {
        problems << "${where}: ${column} '${text}' does not end in ${endings.split(/\|/).collect { ending -> '.' + ending }.join(', ')} (or these with .gz)".toString()
        return []
    }
    def path = beside(sheet, text)
    if (!path.exists() || path.isDirectory()) {
        problems << "${where}: ${column} '${text}' does not exist (looked for ${path})".toString()
        return []
    }
    return path
}

// The checkpoint folder of a model ([] for one inside the package) and its fingerprint ('' where the folder says it all).
def sheet_model(sheet, name, models_dir, models, where, problems) {
    if (models_dir && file("${models_dir}/${name}").isDirectory()) {
        return [model: file("${models_dir}/${name}"), fingerprint: '']
    }
    if (name in models) {
        return [model: models[name].folder, fingerprint: models[name].fingerprint]
    }
    def folder = beside(sheet, name)
    if (name.contains('/') && folder.isDirectory()) {
        return [model: folder, fingerprint: '']
    }
    def own = models_dir ? ", no folder of --models_dir ${models_dir}" : ''
    problems << "${where}: unknown model '${name}': none of ${models.keySet().sort().join(', ')}${own}, and no checkpoint folder (looked for ${folder})".toString()
    return [model: [], fingerprint: '']
}

// A path of the sheet: absolute and remote ones as they are, others relative to the sheet.
def beside(sheet, text) {
    def path = text.startsWith('/') || text ==~ /[a-zA-Z0-9]+:\/\/.*/ ? file(text) : file("${sheet.parent.toUriString()}/${text}")
    return path
}

/*
 * Parameters that the schema does not know, with the wrong type or out of range: a list of messages.
 */
def check_params(given, schema_file) {
    def schema = new groovy.json.JsonSlurper().parseText(file(schema_file).text)
    def known = schema['$defs'].values().collect { section -> section.properties }.inject([:]) { all, properties -> all + properties }
    def problems = []
    given.each { name, value ->
        def rule = known[name]
        if (rule == null) {
            // Nextflow turns --shard-size into shardSize.
            def close = known.keySet().find { other -> other.replace('_', '') == name.toLowerCase().replaceAll(/[_-]/, '') }
            problems << "there is no parameter --${name}${close ? ": do you mean --${close}?" : ''}".toString()
        }
        else if (value != null) {
            def number = value instanceof Number
            if (rule.type == 'integer' && !(value instanceof Integer || value instanceof Long)) {
                problems << "--${name} '${value}' is not a whole number".toString()
            }
            else if (rule.type == 'boolean' && !(value instanceof Boolean)) {
                problems << "--${name} '${value}' is neither true nor false".toString()
            }
            else if (rule.type == 'string' && value instanceof Boolean) {
                problems << "--${name} needs a value: ${rule.description}".toString()
            }
            else if (number && rule.minimum != null && value < rule.minimum) {
                problems << "--${name} ${value} is less than ${rule.minimum}".toString()
            }
            else if (number && rule.maximum != null && value > rule.maximum) {
                problems << "--${name} ${value} is more than ${rule.maximum}".toString()
            }
            else if (rule.pattern && rule.errorMessage && !(value.toString() ==~ rule.pattern)) {
                problems << "--${name} '${value}': ${rule.errorMessage}".toString()
            }
            else if (rule['enum'] && !(value in rule['enum'])) {
                problems << "--${name} '${value}' is not one of ${rule['enum'].join(', ')}".toString()
            }
        }
    }
    return problems
}
