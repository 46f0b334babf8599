# Rscript made_small_survey.R made_small_survey.csv made_small_survey.json
suppressMessages({library(survey); library(jsonlite)})
files <- commandArgs(TRUE)
all <- read.csv(files[1])
num <- function(v) unname(matrix(as.numeric(v), nrow(v)))
means <- function(d) {
  m <- svymean(~x+y, d)
  b <- suppressWarnings(svyby(~x+y, ~buurt, d, svymean, covmat = TRUE))
  list(mean = as.numeric(coef(m)), vcov = num(vcov(m)), buurt = as.character(b$buurt),
       buurt_mean = num(as.matrix(b[, c("x", "y")])), buurt_se = num(as.matrix(SE(b))))
}
out <- list()
lonely <- subset(all, set == "lonely")
for (policy in c("adjust", "certainty", "remove", "average")) for (fpc in c(FALSE, TRUE)) {
  options(survey.lonely.psu = policy)
  d <- if (fpc) svydesign(~psu, strata = ~stratum, weights = ~weight, fpc = ~Npsu, data = lonely)
       else svydesign(~psu, strata = ~stratum, weights = ~weight, data = lonely)
  out[[paste0("lonely_", policy, if (fpc) "_fpc" else "")]] <- means(d)
}
options(survey.lonely.psu = "fail")
pairs <- subset(all, set == "pairs")
d <- svydesign(~psu, strata = ~stratum, weights = ~weight, data = pairs)
out$pairs_linearised <- means(d)
out$pairs_JKn <- means(as.svrepdesign(d, type = "JKn"))
out$pairs_BRR <- means(as.svrepdesign(d, type = "BRR"))
out$pairs_Fay <- means(as.svrepdesign(d, type = "Fay", fay.rho = 0.3))
set.seed(5)
b <- as.svrepdesign(d, type = "subbootstrap", replicates = 12)
w <- weights(b, "analysis")
out$pairs_bootstrap <- c(list(weights = num(w)), means(b))
out$pairs_bootstrap_mse <- c(list(weights = num(w)),
  means(svrepdesign(repweights = w, weights = ~weight, data = pairs, type = "bootstrap", combined.weights = TRUE, mse = TRUE)))
write(toJSON(out, digits = 15, auto_unbox = TRUE), files[2])
