/*
 * Which models there are, and what tells one state of a model from another, so that -resume notices a changed one.
 */

/*
 * The models that have a name: name -> [folder, fingerprint]. Those inside the package have no folder: they are in the
 * container. Where tasks take segnt from the PATH, that segnt is asked; otherwise assets/embedded_models.txt says what the
 * containers of this version hold. `auto` is the one of the package that fits an assembly best, which SEGNT_SELECT
 * chooses.
 */
def named_models() {
    def elsewhere = workflow.containerEngine || 'conda' in workflow.profile.tokenize(',')
    def models = (elsewhere ? [:] : ask_segnt()) ?: packaged_models()
    def packaged = models.findAll { _name, model -> !model.folder }.collect { name, model -> "${name} ${model.fingerprint}".toString() }
    return models + [auto: [folder: [], fingerprint: packaged.sort().join(' ')]]
}

def packaged_models() {
    return file("${projectDir}/assets/embedded_models.txt")
        .readLines()
        .findAll { line -> line && !line.startsWith('#') }
        .collect { line -> line.tokenize() }
        .collectEntries { name, fingerprint -> [name, [folder: [], fingerprint: fingerprint]] }
}

// What `segnt models list` knows, the user's own models included; nothing if there is no segnt here that can say it.
def ask_segnt() {
    def answer = File.createTempFile('segnt_models', '.json')
    answer.deleteOnExit()
    try {
        def asked = new ProcessBuilder('segnt', 'models', 'list', '--quiet', '--json', answer.path)
            .redirectErrorStream(true)
            .redirectOutput(new File('/dev/null'))
            .start()
        if (asked.waitFor() != 0) {
            return [:]
        }
    }
    catch (IOException _error) {
        return [:]
    }
    return new groovy.json.JsonSlurper().parse(answer).models
        .findAll { model -> file(model.where).isDirectory() } // the others are official ones that are not installed
        .collectEntries { model -> [model.name, [folder: model.place == 'embedded' ? [] : file(model.where), fingerprint: card_of(model.where)]] }
}

// The checksum of the card of a checkpoint, which holds that of the weights; tasks get a folder without a card as it is.
def card_of(folder) {
    def card = file("${folder}/card.json")
    return card.exists() ? card.text.digest('SHA-256') : ''
}

// What SEGNT_ADAPT takes for a sample; `auto` leaves the choice of the model to start from to the recipe.
def adaptation(meta, files) {
    def base = files.model || meta.model == 'auto' ? '' : meta.model
    return [meta, files.adapt_fasta, files.adapt_annotation, files.model, base, files.fingerprint]
}
