"""Genes that tell whether a cell divides or dies: human symbols; mouse symbols differ in case only.

References
----------
Tirosh et al., Dissecting the multicellular ecosystem of metastatic melanoma by single-cell RNA-seq, Science
2016 (S and G2/M). Liberzon et al., The Molecular Signatures Database hallmark gene set collection, Cell
Systems 2015 (a selection from HALLMARK_APOPTOSIS: those whose product acts in the death of the cell).
"""

_NAMES = {
    "S phase": """
        MCM5 PCNA TYMS FEN1 MCM2 MCM4 RRM1 UNG GINS2 MCM6 CDCA7 DTL PRIM1 UHRF1 CENPU HELLS RFC2 RPA2 NASP
        RAD51AP1 GMNN WDR76 SLBP CCNE2 UBR7 POLD3 MSH2 ATAD2 RAD51 RRM2 CDC45 CDC6 EXO1 TIPIN DSCC1 BLM
        CASP8AP2 USP1 CLSPN POLA1 CHAF1B BRIP1 E2F8
    """,
    "G2/M phase": """
        HMGB2 CDK1 NUSAP1 UBE2C BIRC5 TPX2 TOP2A NDC80 CKS2 NUF2 CKS1B MKI67 TMPO CENPF TACC3 PIMREG SMC4
        CCNB2 CKAP2L CKAP2 AURKB BUB1 KIF11 ANP32E TUBB4B GTSE1 KIF20B HJURP CDCA3 JPT1 CDC20 TTK CDC25C
        KIF2C RANGAP1 NCAPD2 DLGAP5 CDCA2 CDCA8 ECT2 KIF23 HMMR AURKA PSRC1 ANLN LBR CKAP5 CENPE CTCF NEK2
        G2E3 GAS2L3 CBX5 CENPA
    """,
    "apoptosis": """
        CASP1 CASP2 CASP3 CASP4 CASP6 CASP7 CASP8 CASP9 BAX BID BIK BMF BCL2L11 BCL2L10 BNIP3L PMAIP1
        DIABLO DFFA FAS FASLG TNF TNFSF10 TNFRSF12A FADD DAP DAP3 PDCD4 CYLD GADD45A GADD45B DDIT3 RHOB
        PEA15 PRF1 TXNIP TSPO AIFM3 LMNA HMOX1 PLCB2
    """,
}
S_PHASE, G2M_PHASE, APOPTOSIS = (tuple(names.split()) for names in _NAMES.values())
FORMER_NAMES = {"CENPU": "MLF1IP", "PIMREG": "FAM64A", "JPT1": "HN1", "AIFM3": "AIFL"}
"""Present name → the name in data sets annotated before 2018."""
