"""Programs and the fewest walks that fusion allows, from several spellings each."""

import pytest

from rowfold.codegen.machine import Machine
from rowfold.codegen.planner import make_plan
from rowfold.codegen.simplify import simplify
from rowfold.codegen.trace import trace
from rowfold.testing import load

PARAMETERS = "x, z, g, y: rf.Index, a: rf.Scalar, keep: rf.Mask, *, t: rf.Positive = 0.7"
P = "p = np.exp(x - np.max(x)); p = p / np.sum(p); "
Q = "q = np.exp(z - np.max(z)); q = q / np.sum(q); "
LP = "lp = x - rf.logsumexp(x); p = np.exp(lp); "
LQ = "lq = z - rf.logsumexp(z); q = np.exp(lq); "

ONE = {
    "entropy": (
        f"{P}return -np.sum(p*np.log(p))",
        f"{LP}return -np.sum(p*lp)",
        "l = rf.logsumexp(x); return l - np.sum(np.exp(x-l)*x)",
    ),
    "entropyT": (
        "u = x/t; lp = u - rf.logsumexp(u); return -np.sum(np.exp(lp)*lp)",
        "u = (1/t)*x; lp = u - rf.logsumexp(u); return -np.sum(np.exp(lp)*lp)",
        "p = np.exp((x - np.max(x))/t); p = p/np.sum(p); return -np.sum(p*np.log(p))",
    ),
    "collision probability": (
        f"{P}return np.sum(p*p)",
        f"{P}return np.sum(p**2)",
        f"{LP}return np.sum(np.exp(2*lp))",
    ),
    "powers of p": (f"{P}return np.sum(p**3), np.sum(p**2)",),
    "renyi": (
        f"{P}return np.log(np.sum(p**0.5))",
        f"{LP}return np.log(np.sum(np.exp(0.5*lp)))*2",
    ),
    "tsallis": (f"{P}return (1-np.sum(np.power(p,1.7)))/0.7",),
    "Kullback-Leibler": (
        f"{LP}{LQ}return np.sum(p*(lp-lq))",
        f"{P}{Q}return np.sum(p*np.log(p/q))",
        f"{P}{Q}return np.sum(p*(np.log(p)-np.log(q)))",
    ),
    "kltemp": (
        "u=x/t; v=z/t; lp = u - rf.logsumexp(u); lq = v - rf.logsumexp(v); return t*t*np.sum(np.exp(lp)*(lp-lq))",
    ),
    "kltemp2": ("u=x/t; v=z/a; lp = u - rf.logsumexp(u); lq = v - rf.logsumexp(v); return np.sum(np.exp(lp)*(lp-lq))",),
    "ce soft": (f"{P}{LQ}return -np.sum(p*lq)",),
    "alpha": (
        f"{LP}{LQ}return np.sum(np.exp(0.3*lp+0.7*lq))",
        f"{P}{Q}return np.sum(p**0.3*q**0.7)",
        f"{LP}{LQ}return np.sum(np.exp(t*lp+(1-t)*lq))",
    ),
    "Bhattacharyya": (
        f"{P}{Q}return np.log(np.sum(np.sqrt(p*q)))",
        f"{P}{Q}return np.sum(np.sqrt(p)*np.sqrt(q))",
    ),
    "hellinger": (f"{P}{Q}return np.sum((np.sqrt(p)-np.sqrt(q))**2)",),
    "chi2": (f"{P}{Q}return np.sum((p-q)**2/q)",),
    "squared distance of softmaxes": (f"{P}{Q}return np.sum((p-q)**2)",),
    "Cauchy-Schwarz": (f"{P}{Q}return -np.log(np.sum(p*q)**2/(np.sum(p*p)*np.sum(q*q)))",),
    "expected value": (
        f"{P}return np.sum(p*g)",
        f"{P}return np.sum(p*g)/np.sum(g)",
        f"{P}return np.dot(p,g)",
    ),
    "variance under p": (
        f"{P}m=np.sum(p*g); return np.sum(p*(g-m)**2)",
        f"{P}m=np.sum(p*g); return np.sum(p*g*g)-m*m",
    ),
    "variance of x under p": (f"{P}m=np.sum(p*x); return np.sum(p*(x-m)**2)",),
    "third moment under p": (f"{P}m=np.sum(p*x); return np.sum(p*(x-m)**3)",),
    "brier": (
        f"{P}return np.sum((p - (rf.positions(x)==y))**2)",
        f"{P}return np.sum(p*p)-2*p[y]+1",
        f"{P}onehot=np.where(rf.positions(x)==y,1.0,0.0); return np.sum((p-onehot)**2)",
    ),
    "brier soft": (f"{P}return np.sum((p-g)**2)",),
    "effective sample size": (
        f"{P}return 1/np.sum(p*p)",
        "w=np.exp(x-np.max(x)); return np.sum(w)**2/np.sum(w**2)",
    ),
    "tempderiv": ("u=x/t; p=np.exp(u-rf.logsumexp(u)); return -(np.sum(p*x*x)-np.sum(p*x)**2)/t**2",),
    "dro": (
        (
            "L=t*np.log(np.mean(np.exp(x/t))); "
            "return L, np.log(np.mean(np.exp(x/t)))-np.sum(np.exp(x/t)*x)/np.sum(np.exp(x/t))/t"
        ),
    ),
    "softpool": (f"{P}return np.sum(p*x)",),
    "normalized cross-entropy": (f"{LP}return lp[y]/np.sum(lp)",),
    "cross-entropy": (
        f"{LP}return -lp[y]",
        f"{P}return -np.log(p[y])",
    ),
    "label smoothing": (f"{LP}return -(0.9*lp[y]+0.1*np.mean(lp))",),
    "focal": (f"{P}return -(1-p[y])**2*np.log(p[y])",),
    "poly1": (f"{P}return -np.log(p[y])+2*(1-p[y])",),
    "maxsup": (f"{LP}return -lp[y]+0.1*(np.max(x)-np.mean(x))",),
    "maxp": (
        f"{P}return np.max(p)",
        f"{LP}return np.max(lp)",
    ),
    "maxlogit": (f"{P}return np.max(p), -np.sum(p*np.log(p))",),
    "minp": (f"{P}return np.min(p)",),
    "margin": (f"{P}return p[y]-np.max(p, where=rf.positions(x)!=y, initial=-np.inf)",),
    "argmaxp": (
        f"{P}return np.argmax(p)",
        f"{LP}return np.argmax(lp)",
        "return np.argmax(np.exp(x))",
    ),
    "argmin neg": ("return np.argmin(-x)",),
    "ehard": (f"{P}return np.sum(p*rf.positions(x))",),
    "collapse-safe cross-entropy": ("return np.log1p(np.sum(np.exp(x-x[y]),where=rf.positions(x)!=y))",),
    "collapse-safe cross-entropy with a mask": (
        "return rf.softplus(rf.logsumexp(np.where(rf.positions(x)!=y,x,-np.inf))-x[y])",
    ),
    "comp": ("u=np.sum(np.exp(x-x[y]),where=rf.positions(x)!=y); return (1+u)**0.5",),
    "scse": ("s=np.where(x>=0,x+1,1/(1-x)); return -np.log(s[y]/np.sum(s))",),
    "psl": ("return np.log(np.sum((np.tanh(x-x[y])+1)**2))",),
    "sink lse": (
        "return np.logaddexp(rf.logsumexp(x),a)",
        "return np.log(np.sum(np.exp(x))+np.exp(a))",
    ),
    "sinkhorn": ("return -t*rf.logsumexp((z-x)/t)+t*a",),
    "nfl2": (f"{LP}return lp[y]*(1-p[y])**2/np.sum((1-p)**2*lp)",),
    "sq logp": (f"{LP}{LQ}return np.sum((lp-lq)**2)",),
    "varlogp": (f"{LP}return np.var(lp)",),
    "varentropy": (
        f"{LP}H=-np.sum(p*lp); return np.sum(p*(lp+H)**2)",
        f"{LP}return np.sum(p*lp*lp)-np.sum(p*lp)**2",
    ),
    "L2CE": (f"{P}return np.sqrt(np.sum(p*p)-2*p[y]+1)",),
    "var": (
        "return np.var(x)",
        "mu=np.mean(x); return np.mean((x-mu)**2)",
        "mu=np.sum(x)/x.size; d=x-mu; return np.sum(d*d)/x.size",
        "mu=np.mean(x); return np.mean(np.square(x-mu)), mu",
        "d=x-np.mean(x); return np.dot(d,d)",
        "return np.mean(x*x)-np.mean(x)**2",
    ),
    "skew": (
        "d=x-np.mean(x); return np.mean(d**3)/np.mean(d**2)**1.5",
        "d=(x-np.mean(x))/np.sqrt(np.var(x)+1e-5); return np.mean(d**3)",
    ),
    "kurt": (
        "d=x-np.mean(x); return np.mean(d**4)/np.mean(d**2)**2-3",
        "d=x-np.mean(x); v=d*d; return np.mean(v*v)/np.mean(v)**2-3",
        "d=(x-np.mean(x))/np.std(x); return np.mean(d**4)",
    ),
    "wvar": ("m=np.average(x,weights=g); return np.average((x-m)**2,weights=g)",),
    "wskew": ("m=np.average(x,weights=g); return np.average((x-m)**3,weights=g)",),
    "cov": ("return np.mean((x-np.mean(x))*(z-np.mean(z)))",),
    "corr": (
        "u=x-np.mean(x); v=z-np.mean(z); return np.sum(u*v)/np.sqrt(np.sum(u*u)*np.sum(v*v))",
        "u=(x-np.mean(x))/np.std(x); v=(z-np.mean(z))/np.std(z); return np.mean(u*v)",
    ),
    "wcov": ("W=np.sum(g); mx=np.sum(g*x)/W; mz=np.sum(g*z)/W; return np.sum(g*(x-mx)*(z-mz))/W",),
    "cos": (
        "return np.dot(x,z)/(np.linalg.norm(x)*np.linalg.norm(z))",
        "u=x/np.linalg.norm(x); v=z/np.linalg.norm(z); return np.sum(u*v)",
        "u=x/np.sqrt(np.sum(x*x)+1e-6); v=z/np.sqrt(np.sum(z*z)+1e-6); return np.sum(u*v)",
    ),
    "rmsabsmax": ("r=1/np.sqrt(np.mean(x*x)+1e-6); return np.max(np.abs(x*r))",),
    "maxscale": ("s=np.sqrt(np.mean(x*x)+1e-6); return np.max(x/s)",),
    "maxpos": ("return np.max(x*t), np.max(t*x), np.max(x/t)",),
    "rank": (
        "return np.sum(x > x[y])",
        "return np.count_nonzero(x > x[y])",
    ),
    "dual focal": (
        f"{P}pj=np.max(p,where=x<x[y],initial=0.0); return -np.log(p[y])*(1-p[y]+pj)**2",
        f"{P}pj=np.max(p,where=p<p[y],initial=0.0); return -np.log(p[y])*(1-p[y]+pj)**2",
    ),
    "hinge": ("return np.sum(np.maximum(0,1+x-x[y]),where=rf.positions(x)!=y)",),
    "circle": (
        (
            "al=np.maximum(x+0.25,0); an=rf.logsumexp(np.where(keep,-np.inf,al*(x-0.25)*80)); "
            "ap=rf.logsumexp(np.where(keep,-np.maximum(1.25-x,0)*(x-0.75)*80,-np.inf)); return rf.softplus(an+ap)"
        ),
    ),
    "gauss": ("d2=(x-a)**2; w=np.exp(-d2/(2*t*t)); return np.sum(w*z)/np.sum(w)",),
    "mean ratio": ("return np.mean(x)/np.mean(z)",),
    "snips": ("w=np.exp(x-z); return np.sum(w*g)/np.sum(w)",),
    "snipsclip": ("w=np.minimum(np.exp(x-z),10.0); return np.sum(w*g)/np.sum(w)",),
    "take argmax": ("i=np.argmax(x); return z[i]",),
    "double dqn": ("return z[np.argmax(x)]",),
    "acc": ("return np.argmax(x)==y",),
    "agree": ("return np.argmax(x)==np.argmax(z)",),
    "logit lens": (f"{P}return np.log(np.max(p))",),
    "loo": (f"{P}return np.log1p(-np.max(p))",),
    "conf": (f"{P}return -np.log(p[y]), np.sum(p*p)-2*p[y]+1, np.max(p), np.argmax(p)==y, -np.sum(p*np.log(p))",),
    "free energy": ("return -t*rf.logsumexp(x/t)",),
    "sparse prior": ("return np.sum(np.exp(x-rf.logsumexp(x))*(x-np.log(g)))-rf.logsumexp(x)",),
    "sum const": (
        "return np.sum(x-np.max(x))",
        "m=np.mean(x); return np.sum(x-m)",
    ),
    "mean norm": ("return np.mean(x/np.max(np.abs(x)))",),
    "gradnorm": (f"{P}onehot=np.where(rf.positions(x)==y,1.0,0.0); return np.sqrt(np.sum(np.square(p-onehot)))",),
    "logmeanexp": (
        "return rf.logsumexp(x)-np.log(x.size)",
        "return np.log(np.mean(np.exp(x-np.max(x))))+np.max(x)",
    ),
    "lse diff": ("return rf.logsumexp(x)-rf.logsumexp(2*x)/2",),
    "wlse": ("return np.log(np.sum(g*np.exp(x)))",),
    "normalized cross-entropy from logsumexp": ("l=rf.logsumexp(x); return (l-x[y])/np.sum(l-x)",),
    "signed": ("return np.sum(x,where=x>0)/np.sum(-x,where=x<0)",),
    "wmean": ("return np.sum(g*x)/np.sum(g), np.sum(g)**2/np.sum(g*g)",),
}

TWO = {
    "Jensen-Shannon": (
        f"{P}{Q}m=(p+q)/2; return np.sum(p*np.log(p/m))+np.sum(q*np.log(q/m))",
        f"{LP}{LQ}m=np.log((p+q)/2); return np.sum(p*(lp-m))+np.sum(q*(lq-m))",
    ),
    "bwd logits": (f"{P}return p*(g-np.sum(p*g))",),
    "taylor": ("s=1+x+x*x/2; return s/np.sum(s)",),
    "spherical": ("s=x*x+1e-5; return s/np.sum(s)",),
    "split": (f"{P}s=np.sum(p,where=keep); return np.where(keep,p*s**0.3/s,p*(1-s**0.3)/(1-s))",),
    "ssmax": ("u=x*(a*np.log(x.size)); e=np.exp(u-np.max(u)); return e/np.sum(e)",),
    "sdm": ("u=x*a*np.log(2+g[y]); e=np.exp(u-np.max(u)); return e/np.sum(e)",),
    "off by one": (
        "e=np.exp(x-np.max(x)); return e/(np.exp(-np.max(x))+np.sum(e))",
        "return np.exp(x)/(1+np.sum(np.exp(x)))",
        "return np.exp(x)/np.sum(np.exp(x),initial=1.0)",
        "m=np.max(x,initial=0.0); e=np.exp(x-m); return e/(np.exp(-m)+np.sum(e))",
    ),
    "sink": (
        "m=np.maximum(np.max(x),a); e=np.exp(x-m); return e/(np.exp(a-m)+np.sum(e))",
        "return np.exp(x)/(np.exp(a)+np.sum(np.exp(x)))",
        "return np.exp(x-np.logaddexp(rf.logsumexp(x),a))",
    ),
    "softpick": (
        (
            "up = np.where(x > 0, np.exp(x) * -np.expm1(-x), 0.0); down = np.where(x < 0, -np.expm1(x), 0.0); "
            "return up / (np.sum(up) + np.sum(down) + 1e-6)"
        ),
        "e=np.expm1(x); return np.maximum(e,0)/(np.sum(np.abs(e))+1e-6)",
    ),
    "sa": (f"{P}return x*p",),
    "sa2": (f"{P}lo=np.minimum(np.min(x),0); hi=np.maximum(np.max(x),0); return (x-lo)/(hi-lo)*p",),
    "logitnorm": ("u=x/np.linalg.norm(x); return rf.logsumexp(u)-u[y]",),
    "distunif": (f"{P}return np.sum(np.abs(p-1/x.size))",),
    "rmsabsmax": ("r=1/np.sqrt(np.mean(x*x)+1e-6); u=x*g*r; s=np.max(np.abs(u)); return np.rint(u*(127/s))",),
    "layernorm bwd": (
        "mu=np.mean(x); r=1/np.sqrt(np.var(x)+1e-5); h=(x-mu)*r; d=g*z; return r*(d-np.mean(d)-h*np.mean(d*h))",
    ),
    "rmsnorm bwd": ("r=1/np.sqrt(np.mean(x*x)+1e-5); d=g*z; return r*(d-x*r*r*np.mean(d*x))",),
    "std": ("return (x-np.mean(x))/(np.std(x)+1e-5)",),
    "onehot argmax": ("return np.where(rf.positions(x)==np.argmax(x),1.0,0.0)",),
    "ptp": ("return (x-np.min(x))/np.ptp(x)",),
    "softcap": ("u=50*np.tanh(x/50); e=np.exp(u-np.max(u)); return e/np.sum(e)",),
    "bias corr": (f"{P}qs=np.rint(p*255)/255; return (1-np.sum(qs))/x.size",),
    "mask sm": (
        "u=np.where(keep,x,-np.inf); e=np.exp(u-np.max(u)); return e/np.sum(e)",
        "e=np.where(keep,np.exp(x-np.max(x,where=keep,initial=-np.inf)),0.0); return e/np.sum(e)",
    ),
}

THREE = {
    "adaT": (f"{LP}H=-np.sum(p*lp); b=np.maximum(0.5*H,1); u=b*x; e=np.exp(u-np.max(u)); return e/np.sum(e)",),
}

CASES = [
    pytest.param(walks, body, id=f"{name}-{i}")
    for walks, table in ((1, ONE), (2, TWO), (3, THREE))
    for name, bodies in table.items()
    for i, body in enumerate(bodies)
]


@pytest.mark.parametrize(("walks", "body"), CASES)
def test_a_program_reaches_the_fewest_walks(walks, body):
    """However it is spelled, a program is walked as often as an expert would."""
    program = simplify(trace(load(f"def fuzzed({PARAMETERS}):\n    {body}\n")))
    plan = make_plan(program, dtype="f32", isa="avx2", n=4096, rows=64, strategy="auto", machine=Machine())
    assert plan.walks == walks
