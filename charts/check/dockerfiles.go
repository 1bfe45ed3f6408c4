package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

var (
	base         = regexp.MustCompile(`^FROM (\S+)@sha256:[0-9a-f]{64}(?: AS (\w+))?$`)
	compilerBase = regexp.MustCompile(`^rust:(\d+\.\d+)\.(\d+)-`)
	cacheID      = regexp.MustCompile(`--mount=type=cache,id=([^ ,]+),target=([^ ,]+)`)
	entryPoint   = regexp.MustCompile(`^ENTRYPOINT \["(/usr/local/bin/[a-z-]+)"\]$`)
	minimumRust  = regexp.MustCompile(`(?m)^rust-version = "([0-9.]+)"$`)
)

// checkDockerfiles: both images are built in one way, from named states of everything, and say what they are. Nothing is built.
func checkDockerfiles(at func(string) string) error {
	cargo, err := os.ReadFile(at("Cargo.toml"))
	if err != nil {
		return err
	}
	rust := minimumRust.FindStringSubmatch(string(cargo))
	if rust == nil {
		return errors.New("Cargo.toml has no rust-version")
	}
	content, err := os.ReadFile(at("charts/sofia-phone/Chart.yaml"))
	if err != nil {
		return err
	}
	var chart struct{ AppVersion, Home string }
	if err := yaml.Unmarshal(content, &chart); err != nil {
		return err
	}
	var problems []error
	var bases []string
	for _, name := range []string{"Dockerfile.dataplane", "Dockerfile.operator"} {
		content, err := os.ReadFile(at(name))
		if err != nil {
			return err
		}
		steps := instructions(string(content))
		if err := checkDockerfile(steps, rust[1], chart.AppVersion, chart.Home); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
		var from []string
		for _, step := range steps {
			if strings.HasPrefix(step, "FROM ") {
				from = append(from, step)
			}
		}
		bases = append(bases, strings.Join(from, "\n"))
	}
	if bases[0] != bases[1] {
		problems = append(problems, errors.New("the two Dockerfiles have different bases"))
	}
	return errors.Join(append(problems, checkContext(at))...)
}

// instructions joins lines that go on and leaves out comments.
func instructions(text string) []string {
	var steps []string
	open := false
	for _, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		more := strings.HasSuffix(line, `\`)
		line = strings.TrimSpace(strings.TrimSuffix(line, `\`))
		if open {
			steps[len(steps)-1] += " " + line
		} else {
			steps = append(steps, line)
		}
		open = more
	}
	return steps
}

func checkDockerfile(steps []string, rust, version, home string) error {
	var problems []error
	expect := func(holds bool, format string, values ...any) {
		if !holds {
			problems = append(problems, fmt.Errorf(format, values...))
		}
	}
	has := func(wanted string) bool {
		for _, step := range steps {
			if step == wanted {
				return true
			}
		}
		return false
	}
	stages, program, last := 0, "", ""
	pipefail := false
	for _, step := range steps {
		switch word, _, _ := strings.Cut(step, " "); word {
		case "FROM":
			stages++
			from := base.FindStringSubmatch(step)
			if from == nil {
				expect(false, "expected a base with a tag and a digest, found %q", step)
				continue
			}
			expect(pinned(from[1]) == nil, "the base %s has no tag that says what it is", from[1])
			last, pipefail = from[1], false
			if from[2] == "build" {
				compiler := compilerBase.FindStringSubmatch(from[1])
				if compiler == nil {
					expect(false, "expected rust:NUMBER-… to build on, found %s", from[1])
					continue
				}
				expect(compiler[1] == rust, "builds with Rust %s, Cargo.toml's rust-version is %s", compiler[1], rust)
				expect(has("ENV RUSTUP_TOOLCHAIN="+compiler[1]+"."+compiler[2]), "RUSTUP_TOOLCHAIN is not the base's: rustup would fetch another one")
			}
		case "SHELL":
			pipefail = strings.Contains(step, `"pipefail"`)
		case "RUN":
			expect(pipefail || strings.HasPrefix(step, "RUN ["), "a failure in a pipe goes unseen in %q", step)
			caches := cacheID.FindAllStringSubmatch(step, -1)
			expect(len(caches) == strings.Count(step, "type=cache"), "a cache has no id in %q", step)
			for _, cache := range caches {
				expect(!strings.HasSuffix(cache[2], "/target") || strings.HasSuffix(cache[1], "-$TARGETARCH"), "the cache %s is shared by all platforms", cache[1])
			}
		case "ENTRYPOINT":
			if found := entryPoint.FindStringSubmatch(step); found != nil {
				program = found[1]
			}
		}
	}
	expect(stages == 2, "expected a stage that builds and one that runs, found %d", stages)
	expect(strings.Contains(last, "/cc-debian"), "%s has no package lists for scanners", last)
	expect(program != "", "the entry point is no program of this project")
	expect(has(`RUN ["`+program+`", "--version"]`), "the program is not started in the last stage: a library that is missing would be found out by users")
	expect(has("USER 65532:65532"), "runs as root")
	expect(has("ARG TARGETARCH"), "TARGETARCH is not asked for")
	expect(has("ARG VERSION="+version), "VERSION is not the chart's appVersion")
	labels := ""
	for _, step := range steps {
		if strings.HasPrefix(step, "LABEL ") {
			labels += step
		}
	}
	for _, label := range []string{`title="`, `description="`, `source="` + home + `"`, `licenses="`, `version="$VERSION"`, `revision="$REVISION"`} {
		expect(strings.Contains(labels, "org.opencontainers.image."+label), "the label org.opencontainers.image.%s… is missing", label)
	}
	return errors.Join(problems...)
}

// checkContext: what is no source is not sent to the builder, so that it doesn't build anew for a change of it.
func checkContext(at func(string) string) error {
	content, err := os.ReadFile(at(".dockerignore"))
	if err != nil {
		return err
	}
	lines := instructions(string(content))
	if len(lines) == 0 || lines[0] != "*" {
		return errors.New(".dockerignore: expected * first: all is left out that is not named")
	}
	for _, line := range lines {
		switch line {
		case "!docs", "!charts", "!config", "!.git", "!rust-toolchain.toml":
			return fmt.Errorf(".dockerignore lets in %s, of which nothing is built", line[1:])
		}
	}
	return nil
}
